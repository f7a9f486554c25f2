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

from fallline.training.arguments import DEFAULT_BATCH, as_count, required_arguments
from fallline.training.datasets import Reader, as_split, load
from fallline.training.errors import ProblemError
from fallline.training.generators import Generators
from fallline.training.sampling import Sampler
from fallline.training.splits import BATCHES, EXAMPLES, Pair, Split, joined, pairs, split_of

_CPU = torch.device("cpu")
_EPOCHS = 20


def epoch_order(examples: int, seed: int, epoch: int) -> Tensor:
    """Shuffle the numbers 0 to `examples` - 1, as every run with this seed does in this epoch.

    >>> torch.equal(epoch_order(100, seed=1, epoch=0), epoch_order(100, seed=1, epoch=0))
    True
    """
    return torch.from_numpy(np.random.default_rng((seed, epoch)).permutation(examples))


class Batches:
    """The batches of several seeds, side by side, as numbers of examples on a device.

    Every epoch goes once through all examples, and its last batch may be smaller; with `drop_last` the examples that
    don't fill a batch are left out. Without `shuffle` every seed takes them in the order in which they are given. A
    `sampler` names the `examples` of each epoch itself.

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
        sampler: Sampler | None = None,
        device: torch.device = _CPU,
    ) -> None:
        self.batch = batch
        self.seeds = tuple(seeds)
        self.shuffle = shuffle
        self.steps_per_epoch = examples // batch if drop_last else math.ceil(examples / batch)
        self.examples = self.steps_per_epoch * batch if drop_last else examples
        self._named = examples
        self._sampler = sampler
        self._device = device
        self._epoch = -1
        self._orders = torch.empty(0)

    def at(self, step: int) -> Tensor:
        """Return the examples [seeds, batch] that the step sees, steps counted from 0."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._orders = self._orders_of(epoch).to(self._device)
            self._epoch = epoch
        return self._orders[:, place * self.batch : (place + 1) * self.batch]

    def samples(self, steps: int) -> int:
        """Count the examples seen in the first `steps` steps."""
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
    """Examples, how many of them make a batch, how often a run goes through them, and in which order.

    `sampler` names the examples of each epoch, else all are taken; `shuffle` says whether runs of different seeds take
    them in different orders. `drop_last` leaves those out that don't fill a batch. `own_batches` says that there is no
    other size of batches. `dtype` is that of floating-point numbers. `reader` is there where every epoch reads the
    examples anew; `split` is one reading then.
    """

    split: Split
    batch: int
    epochs: int
    shuffle: bool
    dtype: torch.dtype
    drop_last: bool = False
    sampler: Sampler | None = None
    own_batches: bool = False
    reader: Reader | None = None

    @property
    def examples(self) -> int:
        """How many examples an epoch names, those that `drop_last` leaves out among them."""
        return len(self.split) if self.sampler is None else len(self.sampler)

    @property
    def differs_by_seed(self) -> bool:
        """Whether runs of different seeds see different batches."""
        return self.shuffle or self.reader is not None

    def with_batch(self, batch: object) -> TrainingData:
        """The same with another batch size. Raises ProblemError where there are fewer examples, or no other size."""
        count = as_count("batch", batch, self.examples, "the number of examples in train")
        if self.own_batches and count != self.batch:
            raise ProblemError(
                f"batch: the batch_sampler of train makes batches of {self.batch}, got {count}; leave batch out."
            )
        return replace(self, batch=count)

    def batches(self, seeds: Sequence[int], device: torch.device) -> Batches:
        """The batches of runs with these seeds."""
        return Batches(
            self.examples, self.batch, seeds,
            shuffle=self.shuffle, drop_last=self.drop_last, sampler=self.sampler, device=device,
        )  # fmt: skip

    def read(self, numbers: Tensor, seed: int, epoch: int) -> Split:
        """The examples that these numbers of a batch name, as the run of a seed sees them in an epoch from 0."""
        if self.reader is None:
            return Split(self.split.inputs[numbers], self.split.targets[numbers])
        return as_split("train", self.reader.read(numbers.tolist(), seed, epoch), self.dtype)


def as_training_data(
    train: object, *, batch: int | None, epochs: int | None, steps: int | None, dtype: torch.dtype
) -> TrainingData:
    """Read the examples to train on; `steps` says that they are a stream.

    A batch is 64 examples unless given, or what a DataLoader says, but never more than there are.

    Raises ProblemError, naming the argument.

    >>> batches = ((torch.ones(4, 2), torch.ones(4, 1)) for _ in range(10))
    >>> data = as_training_data(batches, batch=None, epochs=None, steps=3, dtype=torch.float32)
    >>> len(data.split), data.batch, data.epochs, data.shuffle
    (12, 4, 1, False)
    """
    if steps is not None:
        count = as_count("steps", steps)
        if epochs is not None:
            raise ProblemError("epochs: a stream is gone through once, in steps; leave epochs out.")
        batch = None if batch is None else as_count("batch", batch)
        generators = Generators(train)
        with generators.kept():
            generators.seed(0)
            return stream_of(train, batch, dtype).first(count)
    if _is_stream(train):
        raise ProblemError(
            f"train: got {type(train).__name__}, a stream; say with steps= how many batches a run takes, "
            "or give a pair (X, y), a torch Dataset or a DataLoader."
        )
    passes = _EPOCHS if epochs is None else as_count("epochs", epochs)
    if not isinstance(train, Dataset | DataLoader):
        data = TrainingData(as_split("train", train, dtype), 0, passes, True, dtype)
        return data.with_batch(min(DEFAULT_BATCH, data.examples) if batch is None else batch)
    found = load("train", train)
    split = as_split("train", found.pair, dtype)
    if found.reader is not None and found.sampler is not None:
        found.sampler.number_repeats()
    data = TrainingData(
        split, found.batch or DEFAULT_BATCH, passes, found.shuffle, dtype,
        found.drop_last, found.sampler, found.own_batches, found.reader,
    )  # fmt: skip
    if batch is None and found.drop_last and data.batch > data.examples:
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
        return TrainingData(
            split_of("train", joined("train", found, BATCHES), self.dtype), sizes[0], 1, False, self.dtype
        )


def stream_of(train: object, batch: int | None, dtype: torch.dtype) -> Stream:
    """The stream that data are: an IterableDataset, of whose examples `batch` (64) make one, else of its own batches.

    Raises ProblemError: no stream, or one that comes in batches and is given another size.
    """
    if isinstance(train, IterableDataset):
        size = DEFAULT_BATCH if batch is None else batch
        return Stream(_grouped(train, size), dtype, f" of {size} examples")
    if callable(train):
        needed = required_arguments(train)
        if needed:
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
