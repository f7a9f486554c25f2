"""What is trained: a model, a loss, and data in three parts."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from fallline.training.arguments import as_count, as_target, check_loss, check_model
from fallline.training.dry_run import dry_run
from fallline.training.errors import ProblemError, first_line
from fallline.training.metrics import Metric, as_metric
from fallline.training.modules import trainable
from fallline.training.randomness import seeded
from fallline.training.splits import Split, as_split

Loss = Callable[[Tensor, Tensor], Tensor]


class Problem:
    """A model to train, its loss, and the data.

    `model()` returns a fresh `torch.nn.Module`, its weights drawn from torch's generator; `loss(output, target)` the
    mean over a batch. `train`, `valid` and `test` are pairs (X, y) of tensors or NumPy arrays, or torch Datasets, which
    are read once; floating-point data take the model's dtype, integer targets int64. `metric` is "loss", "accuracy",
    "mean_squared_error", "mean_absolute_error", "r2_score", a callable(output, target) whose name ends as scikit-learn
    names its functions (`_score`, `_error`, ...), or a `Metric`. `target` is the value of the metric to reach. `batch`
    counts examples a step, `epochs` passes over `train`.

    Raises ProblemError, a ValueError, in one sentence that names the argument, what it should be and what to do.

    >>> import torch
    >>> problem = Problem(
    ...     model=lambda: nn.Linear(2, 1),
    ...     loss=nn.functional.mse_loss,
    ...     train=(torch.randn(10, 2), torch.randn(10, 1)),
    ...     valid=(torch.randn(4, 2), torch.randn(4, 1)),
    ...     batch=4,
    ... )
    >>> problem.steps_per_epoch, problem.steps
    (3, 60)
    >>> problem.check()
    """

    def __init__(
        self,
        *,
        model: Callable[[], nn.Module],
        loss: Loss,
        train: object,
        valid: object,
        test: object = None,
        metric: str | Metric | Callable[[Tensor, Tensor], Tensor | float] | None = "loss",
        target: float | None = None,
        batch: int = 64,
        epochs: int = 20,
        name: str = "problem",
    ) -> None:
        check_model(model)
        check_loss(loss)
        self.name = name
        self.model = model
        self.loss = loss
        dtype = trainable(self.build(0))[0].dtype
        self.train = as_split("train", train, dtype)
        self.valid = as_split("valid", valid, dtype)
        self.test = None if test is None else as_split("test", test, dtype)
        self.metric = as_metric(metric, loss)
        self.target = as_target(target, self.metric)
        self.batch = as_count("batch", batch, len(self.train), "the number of examples in train")
        self.epochs = as_count("epochs", epochs)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass over `train`; the last may be smaller."""
        return math.ceil(len(self.train) / self.batch)

    @property
    def steps(self) -> int:
        """Updates in all epochs."""
        return self.epochs * self.steps_per_epoch

    def splits(self) -> dict[str, Split]:
        """The splits that there are, by name."""
        parts = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: split for name, split in parts.items() if split is not None}

    def build(self, seed: int) -> nn.Module:
        """Build the model with the weights of this seed; torch's generator is left as it was.

        Raises ProblemError: the callable failed, or returned no module or nothing to train.
        """
        with seeded(seed):
            try:
                module = self.model()
            except Exception as error:
                raise ProblemError(f"model: it failed ({first_line(error)}); make it return a module.") from error
        if isinstance(module, type):
            name = module.__name__
            raise ProblemError(f"model: it returned the class {name}; make it return an instance of it, {name}(...).")
        if not isinstance(module, nn.Module):
            raise ProblemError(f"model: it returned {type(module).__name__}; make it return a torch.nn.Module.")
        if any(is_lazy(parameter) for parameter in module.parameters()):
            raise ProblemError("model: it has lazy layers; give each layer its input size, such as nn.Linear(64, 32).")
        if not trainable(module):
            raise ProblemError("model: it has no trainable parameters; give it at least one with requires_grad=True.")
        return module

    def check(self, seed: int = 0) -> None:
        """Try one forward and backward pass with the weights of this seed; no weight is changed.

        Raises ProblemError, with the cause chained, where the model, the loss, the data and the metric do not fit.
        """
        dry_run(self, seed)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {len(split)}" for name, split in self.splits().items())
        return f"Problem({self.name!r}, {sizes}, batch {self.batch}, {self.epochs} epochs, metric {self.metric.name!r})"
