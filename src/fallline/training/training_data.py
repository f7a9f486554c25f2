"""What a run trains on: examples to go through in epochs, or the batches of a stream in their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from fallline.training.arguments import DEFAULT_BATCH, as_count
from fallline.training.batches import Batches
from fallline.training.datasets import load
from fallline.training.errors import ProblemError
from fallline.training.generators import Generators
from fallline.training.reader import Reader
from fallline.training.sampling import Sampler
from fallline.training.splits import Split, as_split
from fallline.training.stream_batches import is_stream, read_stream

_EPOCHS = 20


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
        return _of_stream(train, as_count("steps", steps), batch, epochs, dtype)
    if is_stream(train):
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


def _of_stream(train: object, steps: int, batch: int | None, epochs: int | None, dtype: torch.dtype) -> TrainingData:
    if epochs is not None:
        raise ProblemError("epochs: a stream is gone through once, in steps; leave epochs out.")
    batch = None if batch is None else as_count("batch", batch)
    generators = Generators(train)
    with generators.kept():
        generators.seed(0)
        pair, size = read_stream(train, steps, batch)
    return TrainingData(as_split("train", pair, dtype), min(size, len(pair[0])), 1, False, dtype)
