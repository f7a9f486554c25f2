"""A problem whose examples come as a stream: each batch is seen once, and may differ in kind from those before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from torch import Tensor, nn

from fallline.training.arguments import check_loss, check_model, check_names
from fallline.training.errors import ProblemError
from fallline.training.metrics import MetricLike, as_metric
from fallline.training.modules import trainable
from fallline.training.problem import Loss, Problem
from fallline.training.splits import Split, as_split


class StreamProblem:
    """A model, its loss, and a stream of batches, for online learning with `fallline.fit`.

    `train` is an iterable, such as a generator, of pairs (X, y) of tensors or NumPy arrays, a batch each; a batch of
    one example is a batch. The other arguments are as for `fallline.Problem`, and so are the errors; what is wrong with
    a batch is said when it comes.

    >>> import numpy as np
    >>> stream = ((np.ones((4, 2)) * k, np.ones((4, 1))) for k in range(3))
    >>> problem = StreamProblem(model=lambda: nn.Linear(2, 1), loss=nn.functional.mse_loss, train=stream)
    >>> [len(batch) for batch in problem.batches()]
    [4, 4, 4]
    """

    def __init__(
        self,
        *,
        model: Callable[[], nn.Module],
        loss: Loss,
        train: Iterable[object],
        metric: MetricLike = "loss",
        name: str = "stream",
        **others: object,
    ) -> None:
        check_names(("model", "loss", "train", "metric", "name"), others)
        check_model(model)
        check_loss(loss)
        if isinstance(train, tuple) or not isinstance(train, Iterable):
            raise ProblemError(
                f"train: got {type(train).__name__}, which is no stream; give an iterable of pairs (X, y), a batch "
                "each, or a fallline.Problem for data that are all there."
            )
        self.name = name
        self.model = model
        self.loss = loss
        self.train = train
        self.metric = as_metric(metric, loss)
        self._dtype = trainable(self.build(0))[0].dtype

    def build(self, seed: int) -> nn.Module:
        """Build the model with the weights of this seed, as `Problem.build` does."""
        return Problem.build(self, seed)  # type: ignore[arg-type]  # it asks for the model alone

    def training_loss(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of a batch, as `Problem.training_loss` computes it."""
        return self.loss(model(inputs), targets)

    def batches(self) -> Iterator[Split]:
        """The batches to come, in the model's type of number, checked as splits are; errors count them from 1."""
        for number, batch in enumerate(self.train, 1):
            yield as_split(f"train, batch {number}", batch, self._dtype)
