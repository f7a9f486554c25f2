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


class Problem(SplitTask):
    """A model to train, its loss, and the data.

    Examples are read once, into memory. Where an example of a training Dataset differs at the next reading, as random
    augmentation makes it, every epoch reads it anew: what it draws from torch's, NumPy's or Python's generators follows
    from the run's seed, the epoch and the example, so that all runs of a seed see the same. `valid` and `test` are
    drawn once. A warning says either. Of a training DataLoader the size of batches, `drop_last`, `shuffle` and the
    sampler hold, which draws anew for each epoch, from the run's seed; `valid` and `test` are what one pass gives.
    Workers are not started, but for a loader that reads a stream: it is iterated to its end once, and goes through
    epochs in that order. Floating-point data take the model's dtype, integer targets int64. Data and fresh models are
    on the CPU; lanes move them.

    A UserWarning tells of what trains without an error and probably is one: splits that share examples, a softmax
    before cross_entropy and its kin, targets that the last operation never gives.

    Args:
        model: A function that returns a fresh `torch.nn.Module`, its weights drawn from torch's generator; a pretrained
            one is copied in it, and what has `requires_grad=False` stays as it is.
        loss: A function of (output, target), the mean over a batch. Needed unless there is a step.
        step: A function of (model, inputs, targets) that returns the loss of a batch, in place of loss(model(inputs),
            targets) in training; without `loss`, in evaluation too.
        train: The examples to train on, a pair (X, y) of tensors or NumPy arrays [n, ...], a torch Dataset or a
            DataLoader. With `steps` a stream of that many batches: an IterableDataset of examples, a generator function
            or an iterable of batches (X, y), which every run sees once, in this order.
        valid: The examples to choose by, given in the same ways.
        test: The examples to report on, which nothing is chosen by; there need be none.
        metric: "loss", a name from scikit-learn or torchmetrics such as "accuracy", "f1_macro", "roc_auc" or "r2", a
            callable(output, target) whose name ends as scikit-learn names its functions (`_score`, `_error`, ...), a
            torchmetrics object, or a `Metric`. Metrics of classes take one output a class, as logits or probabilities,
            in dimension 1 or the last; or one logit for two classes, a probability where the loss is
            binary_cross_entropy. Labels that the loss ignores, as `ignore_index` says or its derivatives tell, they
            ignore too.
        target: The value of the metric to reach, or None.
        batch: Examples of a step; by default 64, what a DataLoader says, or all where there are fewer.
        epochs: Passes over the examples, each in a new order, DataLoaders aside; 20 by default.
        steps: Batches of a stream that a run takes.
        precision: "bfloat16" takes training passes under `torch.autocast`; None, the model's own.
        device: "cpu" or "cuda", or None for CUDA where it is present.
        name: What it is called in tables and storages.

    Raises:
        ProblemError: A ValueError, in one sentence that names the argument, what it should be and what to do.

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
        check_names(Problem, others)
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

        Args:
            batch: Examples of a step.

        Returns:
            The other problem.

        Raises:
            ProblemError: There are fewer examples, or a batch sampler of `train` makes its own batches.
        """
        changed = copy.copy(self)
        changed.data = self.data.with_batch(batch)
        return changed

    def shortened(self, share: float) -> Self:
        """The same problem with runs of a share of its length; the data are shared, and the name tells the length.

        Args:
            share: The share of the epochs, or of the steps where there is a single epoch; above 0 and at most 1.

        Returns:
            The other problem.

        Raises:
            ProblemError: The share is none, or less than one epoch or step.

        >>> from fallline.problems import digits
        >>> digits(epochs=20).shortened(0.25).name
        'digits (5 of 20 epochs)'
        """
        changed = copy.copy(self)
        changed.data = self.data.shortened(share)
        changed.epochs = changed.data.epochs
        one = self.epochs == 1
        length, whole, what = (changed.steps, self.steps, "steps") if one else (changed.epochs, self.epochs, "epochs")
        if length < whole:
            changed.name, changed.origin = f"{self.name} ({length:,} of {whole:,} {what})", None
        return changed

    def check(self, seed: int = 0) -> None:
        """Try a pass forward and backward, and evaluate once; no weight is changed.

        Args:
            seed: Of the weights that are tried.

        Raises:
            ProblemError: The model, the loss, the data and the metric do not fit; the cause is chained.
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

    What is wrong with a batch is said when it comes.

    Args:
        model: A function that returns a fresh `torch.nn.Module`, as for `fallline.Problem`.
        loss: A function of (output, target), the mean over a batch.
        train: An iterable, such as a generator, of pairs (X, y) of tensors or NumPy arrays, a batch each; a batch of
            one example is a batch.
        metric: As for `fallline.Problem`.
        name: What it is called.

    Raises:
        ProblemError: As `fallline.Problem` raises it.

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
        check_names(StreamProblem, others)
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
