"""What is trained: a model, a loss or a step, and data in three parts, or a stream of batches."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Self

from torch import nn

from fallline.training.arguments import as_precision, as_target, check_given, check_names
from fallline.training.datasets import as_split
from fallline.training.dry_run import dry_run
from fallline.training.errors import ProblemError
from fallline.training.metrics import MetricLike, without_ignored
from fallline.training.mistakes import first_look, ignored_labels, mistakes
from fallline.training.modules import trainable
from fallline.training.splits import Split
from fallline.training.task import Loss, SplitTask, Step, Task
from fallline.training.training_data import Stream, as_training_data

_ARGUMENTS = (
    "model", "loss", "step", "train", "valid", "test", "metric", "target", "batch", "epochs", "steps", "precision",
    "device", "name",
)  # fmt: skip


class Problem(SplitTask):
    """A model to train, its loss, and the data.

    `model()` returns a fresh `torch.nn.Module`, its weights drawn from torch's generator; a pretrained one is copied
    in it, and what has `requires_grad=False` stays as it is. `loss(output, target)` is the mean over a batch. A `step`
    of one's own, called as step(model, inputs, targets), returns the loss of a batch and takes the place of
    loss(model(inputs), targets) in training; without `loss`, in evaluation too.

    `train`, `valid` and `test` are pairs (X, y) of tensors or NumPy arrays [n, ...], torch Datasets, or DataLoaders.
    All are read once, into memory. Where an example of a training Dataset differs at the next reading, as random
    augmentation makes it, every epoch reads it anew: what it draws from torch's, NumPy's or Python's generators follows
    from the run's seed, the epoch and the example, so that all runs of a seed see the same. `valid` and `test` are
    drawn once. A warning says either. Of a training DataLoader the size of batches, `drop_last`, `shuffle` and the
    sampler hold, which draws anew for each epoch, from the run's seed; `valid` and `test` are what one pass gives.
    Workers are not started, but for a loader that reads a stream: it is iterated to its end once, and goes through
    epochs in that order. Floating-point data take the model's dtype, integer targets int64.

    With `steps`, `train` is a stream of that many batches: an IterableDataset of examples, a generator function or an
    iterable of batches (X, y). Every run sees these batches once, in this order. Other data, DataLoaders aside, are
    shuffled anew in each of `epochs` (20) passes. `batch` counts the examples of a step: 64 unless given, what a
    DataLoader says, or all where there are fewer.

    `metric` is "loss", a name from scikit-learn or torchmetrics such as "accuracy", "f1_macro", "roc_auc" or "r2", a
    callable(output, target) whose name ends as scikit-learn names its functions (`_score`, `_error`, ...), a
    torchmetrics object, or a `Metric`. Metrics of classes take one output a class, as logits or probabilities, in
    dimension 1 or the last; or one logit for two classes, a probability where the loss is binary_cross_entropy.
    Labels that the loss ignores, as `ignore_index` says or its derivatives tell, they ignore too.
    `target` is the value of the metric to reach.

    `precision="bfloat16"` takes training passes under `torch.autocast`. `device` is "cpu" or "cuda", or None for CUDA
    where it is present; data and fresh models are on the CPU, and lanes move them.

    A UserWarning tells of what trains without an error and probably is one: splits that share examples, a softmax
    before cross_entropy and its kin, targets that the last operation never gives.

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
        model: Callable[[], nn.Module] | None = None,
        loss: Loss | None = None,
        step: Step | None = None,
        train: object = None,
        valid: object = None,
        test: object = None,
        metric: MetricLike = "loss",
        target: float | None = None,
        batch: int | None = None,
        epochs: int | None = None,
        steps: int | None = None,
        precision: str | None = None,
        device: str | None = None,
        name: str = "problem",
        **others: object,
    ) -> None:
        check_names(_ARGUMENTS, others)
        check_given(model, train, valid)
        super().__init__(name, model, loss, step, metric, device)
        #: The file or the bundled problem that this one comes from, for a command line to find it again.
        self.origin: str | None = None
        self.target = as_target(target, self.metric)
        module = self.build(0)
        dtype = trainable(module)[0].dtype
        self.precision = as_precision(precision, dtype)
        self.data = as_training_data(train, batch=batch, epochs=epochs, steps=steps, dtype=dtype)
        self.epochs = self.data.epochs
        self.valid = as_split("valid", valid, dtype)
        self.test = None if test is None else as_split("test", test, dtype)
        look = first_look(self, module)
        ignored = ignored_labels(loss, look)
        self.metric = without_ignored(metric, self.metric, ignored)
        #: Sentences about what trains without an error, and probably is one.
        self.mistakes = mistakes(self, look, ignored)
        self._warn()

    def with_batch(self, batch: int) -> Self:
        """The same problem with another batch size; the data are shared.

        Raises ProblemError where there are fewer examples, and where a batch sampler of `train` makes its own.
        """
        changed = copy.copy(self)
        changed.data = self.data.with_batch(batch)
        return changed

    def check(self, seed: int = 0) -> None:
        """Try a pass forward and backward with the weights of this seed, and evaluate once; no weight is changed.

        Raises ProblemError, with the cause chained, where the model, the loss, the data and the metric do not fit.
        """
        self._warn()
        dry_run(self, seed)

    def _warn(self) -> None:
        for sentence in self.mistakes:
            warnings.warn(sentence, stacklevel=1)  # one place, so that Python says it once

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {len(split)}" for name, split in self.splits().items())
        length = f"{self.epochs} epochs" if self.shuffle or self.epochs > 1 else f"{self.steps} steps"
        return f"Problem({self.name!r}, {sizes}, batch {self.batch}, {length}, metric {self.metric.name!r})"


class StreamProblem(Task):
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
        if isinstance(train, tuple) or not isinstance(train, Iterable):
            raise ProblemError(
                f"train: got {type(train).__name__}, which is no stream; give an iterable of pairs (X, y), a batch "
                "each, or a fallline.Problem for data that are all there."
            )
        super().__init__(name, model, loss, None, metric, "cpu")
        self.train = train
        self.stream = Stream(train, trainable(self.build(0))[0].dtype)

    def batches(self) -> Iterator[Split]:
        """The batches to come, in the model's type of number, checked as splits are; errors count them from 1."""
        return iter(self.stream)
