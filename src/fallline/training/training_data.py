"""What a run trains on: examples to go through in epochs, or the batches of a stream in their order."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader

from fallline.training.arguments import DEFAULT_BATCH, as_count
from fallline.training.errors import ProblemError
from fallline.training.randomness import seeded
from fallline.training.splits import Split, as_split
from fallline.training.stream_batches import is_stream, read_stream

_EPOCHS = 20


@dataclass(frozen=True)
class TrainingData:
    """Examples, how many of them make a batch, how often a run goes through all, and whether it shuffles them."""

    split: Split
    batch: int
    epochs: int
    shuffle: bool


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
    split = as_split("train", train, dtype)
    epochs = _EPOCHS if epochs is None else as_count("epochs", epochs)
    return TrainingData(split, _batch(train, split, batch), epochs, shuffle=True)


def _of_stream(train: object, steps: int, batch: int | None, epochs: int | None, dtype: torch.dtype) -> TrainingData:
    if epochs is not None:
        raise ProblemError("epochs: a stream is gone through once, in steps; leave epochs out.")
    batch = None if batch is None else as_count("batch", batch)
    with seeded(0):
        pair, size = read_stream(train, steps, batch)
    return TrainingData(as_split("train", pair, dtype), min(size, len(pair[0])), 1, shuffle=False)


def _batch(train: object, split: Split, batch: int | None) -> int:
    if batch is not None:
        return as_count("batch", batch, len(split), "the number of examples in train")
    size = train.batch_size if isinstance(train, DataLoader) else None
    return min(size or DEFAULT_BATCH, len(split))
