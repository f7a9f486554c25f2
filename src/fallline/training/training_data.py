"""What a run trains on: examples to go through in epochs, or the batches of a stream in their order.

Which examples each step sees follows from the seed alone.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from fallline import _asked
from fallline._text import counted
from fallline.training.arguments import DEFAULT_BATCH, as_count, required_arguments
from fallline.training.datasets import Reader, as_split, load
from fallline.training.errors import ProblemError
from fallline.training.generators import Generators
from fallline.training.sampling import Order, Sampler
from fallline.training.splits import BATCHES, EXAMPLES, Pair, Split, joined, pairs, split_of

_CPU = torch.device("cpu")
_EPOCHS = 20


def epoch_order(examples: int, seed: int, epoch: int) -> Tensor:
    """Shuffle the numbers of examples, as every run with this seed does in this epoch.

    Args:
        examples: How many there are.
        seed: The run's.
        epoch: The epoch, counted from 0.

    Returns:
        The numbers 0 to `examples` - 1 in their order.

    >>> torch.equal(epoch_order(100, seed=1, epoch=0), epoch_order(100, seed=1, epoch=0))
    True
    """
    return torch.from_numpy(np.random.default_rng((seed, epoch)).permutation(examples))


class Batches:
    """The batches of several seeds, side by side, as numbers of examples on a device.

    Every epoch goes once through all examples, and its last batch may be smaller.

    Args:
        examples: How many examples an epoch names.
        batch: How many make a batch.
        seeds: Those of the runs, from which their orders follow.
        shuffle: Whether each seed has an order of its own in each epoch; else the examples are taken as they are given.
        drop_last: Whether the examples that don't fill a batch are left out.
        kept: How many of the examples of an epoch, its first, are gone through; all by default.
        sampler: What names the examples of each epoch itself; None for nobody.
        device: Where the numbers are; the CPU by default.

    >>> batches = Batches(examples=10, batch=4, seeds=[0, 1])
    >>> [tuple(batches.at(step).shape) for step in range(3)]
    [(2, 4), (2, 4), (2, 2)]
    >>> Batches(examples=10, batch=4, seeds=[0], shuffle=False).at(1)
    tensor([[4, 5, 6, 7]])
    """

    def __init__(
        self,
        examples: int,
        batch: int,
        seeds: Sequence[int],
        *,
        shuffle: bool = True,
        drop_last: bool = False,
        kept: int | None = None,
        sampler: Sampler | None = None,
        device: torch.device = _CPU,
    ) -> None:
        self.batch = batch
        self.seeds = tuple(seeds)
        self.shuffle = shuffle
        used = examples if kept is None else min(kept, examples)
        self.steps_per_epoch = used // batch if drop_last else math.ceil(used / batch)
        self.examples = self.steps_per_epoch * batch if drop_last else used
        self._named = examples
        self._sampler = sampler
        self._device = device
        self._epoch = -1
        self._orders = torch.empty(0)

    def at(self, step: int) -> Tensor:
        """The examples [seeds, batch] that a step sees.

        Args:
            step: The step, counted from 0.
        """
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._orders = self._orders_of(epoch).to(self._device)
            self._epoch = epoch
        return self._orders[:, place * self.batch : min((place + 1) * self.batch, self.examples)]

    def samples(self, steps: int) -> int:
        """Count the examples that a run has seen.

        Args:
            steps: The steps that it has taken.
        """
        epochs, rest = divmod(steps, self.steps_per_epoch)
        return epochs * self.examples + min(rest * self.batch, self.examples)

    def _orders_of(self, epoch: int) -> Tensor:
        if self._sampler is not None:
            return torch.stack([self._sampler.order(seed, epoch) for seed in self.seeds])
        if not self.shuffle:
            return torch.arange(self._named).expand(len(self.seeds), -1)
        return torch.stack([epoch_order(self._named, seed, epoch) for seed in self.seeds])


@dataclass(frozen=True)
class TrainingData:
    """Examples, of which `batch` make one, how often a run goes through them, and in which order.

    `dtype` is that of floating-point numbers. `reader` is there where every epoch reads the examples anew; `split` is
    one reading then. `kept` is how many of an epoch's examples are gone through, None for all.
    """

    split: Split
    batch: int
    epochs: int
    order: Order
    dtype: torch.dtype
    reader: Reader | None = None
    kept: int | None = None

    @property
    def examples(self) -> int:
        """How many examples an epoch names, those among them that don't fill a batch and are left out."""
        return len(self.split if self.order.sampler is None else self.order.sampler)

    @property
    def differs_by_seed(self) -> bool:
        """Whether runs of different seeds see different batches."""
        return self.order.shuffle or self.reader is not None

    def with_batch(self, batch: object) -> TrainingData:
        """The same with another batch size. Raises ProblemError where there are fewer examples, or no other size."""
        count = as_count("batch", batch, self.examples, "the number of examples in train")
        if self.order.own_batches and count != self.batch:
            raise ProblemError(
                f"batch: the batch_sampler of train makes batches of {self.batch}, got {count}; leave batch out."
            )
        return replace(self, batch=count)

    def shortened(self, share: float) -> TrainingData:
        """The same with a share of the epochs, or of the steps of a single one.

        Raises ProblemError for a share that is none, or less than one of them.
        """
        share = _asked.number("share:", share, most=1.0, above=0.0, error=ProblemError)
        what, whole = "epochs", self.epochs
        if self.epochs == 1:
            what, whole = "steps", self.batches([0], _CPU).steps_per_epoch
        if share * whole < 1 - 1e-9:
            raise ProblemError(
                f"share: {share:g} of {counted(whole, what[:-1])} is less than one; give at least {1 / whole:.3g}."
            )
        length = round(share * whole)
        return replace(self, kept=length * self.batch) if self.epochs == 1 else replace(self, epochs=length)

    def batches(self, seeds: Sequence[int], device: torch.device) -> Batches:
        """The batches of runs with these seeds."""
        order = self.order
        return Batches(
            self.examples, self.batch, seeds,
            shuffle=order.shuffle, drop_last=order.drop_last, kept=self.kept, sampler=order.sampler, device=device,
        )  # fmt: skip

    def epochs_of(self, batches: Batches, epochs: int) -> Iterator[tuple[int, Split]]:
        """All batches of the first of the runs, each with the number of its epoch, from 1."""
        for step in range(epochs * batches.steps_per_epoch):
            epoch = step // batches.steps_per_epoch
            yield epoch + 1, self.read(batches.at(step)[0], batches.seeds[0], epoch)

    def read(self, numbers: Tensor, seed: int, epoch: int) -> Split:
        """The examples that these numbers of a batch name, as the run of a seed sees them in an epoch from 0."""
        if self.reader is None:
            return self.split.take(numbers)
        return split_of("train", self.reader.read(numbers.tolist(), seed, epoch), self.dtype)


def as_training_data(
    train: object, *, batch: int | None, epochs: int | None, steps: int | None, dtype: torch.dtype
) -> TrainingData:
    """Read the examples to train on; `steps` says that they are a stream.

    A batch is 64 examples unless given, or what a DataLoader says, but never more than there are.

    Raises ProblemError, naming the argument.

    >>> batches = ((torch.ones(4, 2), torch.ones(4, 1)) for _ in range(10))
    >>> data = as_training_data(batches, batch=None, epochs=None, steps=3, dtype=torch.float32)
    >>> len(data.split), data.batch, data.epochs, data.order.shuffle
    (12, 4, 1, False)
    """
    if steps is not None:
        count = as_count("steps", steps)
        if epochs is not None:
            raise ProblemError("epochs: a stream is gone through once, in steps; leave epochs out.")
        batch = None if batch is None else as_count("batch", batch)
        with Generators(train).seeded(0):
            return stream_of(train, batch, dtype).first(count)
    if _is_stream(train):
        raise ProblemError(
            f"train: got {type(train).__name__}, a stream; say with steps= how many batches a run takes, "
            "or give a pair (X, y), a torch Dataset or a DataLoader."
        )
    passes = _EPOCHS if epochs is None else as_count("epochs", epochs)
    if not isinstance(train, Dataset | DataLoader):
        data = TrainingData(as_split("train", train, dtype), 0, passes, Order(), dtype)
        return data.with_batch(min(DEFAULT_BATCH, data.examples) if batch is None else batch)
    found = load("train", train)
    split, order = split_of("train", found.pair, dtype), found.order
    if found.reader is not None and order.sampler is not None:
        order.sampler.number_repeats()
    data = TrainingData(split, order.batch or DEFAULT_BATCH, passes, order, dtype, found.reader)
    if batch is None and order.drop_last and data.batch > data.examples:
        raise ProblemError(
            f"train: its DataLoader drops the last batch if it has less than {data.batch} examples, and there are "
            f"{data.examples}; give it a smaller batch_size, or drop_last=False."
        )
    return data.with_batch(min(data.batch, data.examples) if batch is None else batch)


@dataclass(frozen=True)
class Stream:
    """Batches (X, y) that come one after another, and may have no end: a run meets each once, in this order.

    Iterating gives the batches to come, with numbers of type `dtype`, checked as splits are; errors count them from 1.
    `kind` says what a batch is, where the stream itself is one of examples.
    """

    batches: Iterable[Any]
    dtype: torch.dtype
    kind: str = ""

    def __iter__(self) -> Iterator[Split]:
        for number, batch in enumerate(self.batches, 1):
            yield as_split(f"train, batch {number}", batch, self.dtype)

    def first(self, steps: int) -> TrainingData:
        """So many batches, read into memory.

        Raises ProblemError: it ends before, or batches differ in size before the last.
        """
        # Copied, since a generator may fill the same arrays anew.
        found = [copy.deepcopy(pair) for pair in islice(pairs("train", self.batches, BATCHES), steps)]
        if len(found) < steps:
            raise ProblemError(
                f"train: the stream ended after {len(found)} batches{self.kind}, but steps is {steps}; "
                "give fewer steps or a longer stream."
            )
        sizes = [len(inputs) for inputs, _ in found]
        for number, size in enumerate(sizes[1:], 2):
            if size > sizes[0] or (size < sizes[0] and number < steps):
                raise ProblemError(
                    f"train: batch 1 of the stream has {sizes[0]} examples and batch {number} has {size}; "
                    "give them one size, which only the last may fall short of."
                )
        split = split_of("train", joined("train", found, BATCHES), self.dtype)
        return TrainingData(split, sizes[0], 1, Order(shuffle=False), self.dtype)


def stream_of(train: object, batch: int | None, dtype: torch.dtype) -> Stream:
    """The stream that data are: an IterableDataset, of whose examples `batch` (64) make one, else of its own batches.

    Raises ProblemError: no stream, or one that comes in batches and is given another size.
    """
    if isinstance(train, IterableDataset):
        size = DEFAULT_BATCH if batch is None else batch
        return Stream(_grouped(train, size), dtype, f" of {size} examples")
    if callable(train):
        if needed := required_arguments(train):
            raise ProblemError(
                f"train: the function needs {' and '.join(needed)}, but is called without arguments; "
                "give one without, such as train=lambda: batches(...)."
            )
        train = train()
    if not isinstance(train, Iterable) or isinstance(train, tuple | dict | str) or hasattr(train, "shape"):
        raise ProblemError(
            f"steps: it counts the batches of a stream, but train is of type {type(train).__name__}; leave steps out "
            "and say epochs, or give an IterableDataset, a generator function or an iterable of batches (X, y)."
        )
    if batch is not None:
        raise ProblemError("batch: a stream of batches has its own; leave batch out, or give an IterableDataset.")
    return Stream(train, dtype)


def _grouped(examples: Iterable[Any], size: int) -> Iterator[Pair]:
    given = pairs("train", examples, EXAMPLES)
    while few := [copy.deepcopy(pair) for pair in islice(given, size)]:
        yield joined("train", few, EXAMPLES)


def _is_stream(data: object) -> bool:
    """Whether data come one after another, and may have no end."""
    if isinstance(data, IterableDataset) or callable(data):
        return True
    return isinstance(data, Iterable) and not hasattr(data, "__getitem__") and not isinstance(data, DataLoader)
