"""A stream to train on, read once into memory: its first batches, in their order."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from torch.utils.data import DataLoader, IterableDataset

from fallline.training.arguments import DEFAULT_BATCH, required_arguments
from fallline.training.errors import ProblemError
from fallline.training.pairs import BATCHES, EXAMPLES, Pair, joined, pairs


def is_stream(data: object) -> bool:
    """Whether data come one after another, and may have no end.

    >>> is_stream(iter([])), is_stream(([0.0], [1.0]))
    (True, False)
    """
    if isinstance(data, IterableDataset) or callable(data):
        return True
    return isinstance(data, Iterable) and not hasattr(data, "__getitem__") and not isinstance(data, DataLoader)


def read_stream(stream: object, steps: int, batch: int | None) -> tuple[Pair, int]:
    """The first `steps` batches of a stream, joined to X and y, and how many examples a batch has.

    An IterableDataset gives examples, of which `batch` make one; every other stream comes in its own.

    Raises ProblemError: no stream, one that ends before `steps` batches, batches that differ in size before the last.
    """
    if isinstance(stream, IterableDataset):
        size = DEFAULT_BATCH if batch is None else batch
        found = _copies(pairs("train", stream, EXAMPLES), steps * size)
        _check_count(math.ceil(len(found) / size), steps, f" of {size} examples")
        return joined("train", found, EXAMPLES), size
    batches = _iterable(stream)
    if batch is not None:
        raise ProblemError("batch: a stream of batches has its own; leave batch out, or give an IterableDataset.")
    found = _copies(pairs("train", batches, BATCHES), steps)
    _check_count(len(found), steps)
    return joined("train", found, BATCHES), _batch_size(found)


def _iterable(stream: object) -> Iterable[Any]:
    if callable(stream):
        needed = required_arguments(stream)
        if needed:
            raise ProblemError(
                f"train: the function needs {' and '.join(needed)}, but is called without arguments; "
                "give one without, such as train=lambda: batches(...)."
            )
        stream = stream()
    if not isinstance(stream, Iterable) or isinstance(stream, tuple | dict | str) or hasattr(stream, "shape"):
        raise ProblemError(
            f"steps: it counts the batches of a stream, but train is of type {type(stream).__name__}; leave steps out "
            "and say epochs, or give an IterableDataset, a generator function or an iterable of batches (X, y)."
        )
    return stream


def _copies(stream: Iterator[Sequence[Any]], count: int) -> list[Sequence[Any]]:
    """The first `count` pairs, copied, since a generator may fill the same arrays anew."""
    return [copy.deepcopy(pair) for pair in islice(stream, count)]


def _check_count(batches: int, steps: int, of: str = "") -> None:
    if batches < steps:
        raise ProblemError(
            f"train: the stream ended after {batches} batches{of}, but steps is {steps}; "
            "give fewer steps or a longer stream."
        )


def _batch_size(batches: Sequence[Sequence[Any]]) -> int:
    sizes = [len(inputs) for inputs, _ in batches]
    for number, size in enumerate(sizes[1:], 2):
        if size > sizes[0] or (size < sizes[0] and number < len(sizes)):
            raise ProblemError(
                f"train: batch 1 of the stream has {sizes[0]} examples and batch {number} has {size}; "
                "give them one size, which only the last may fall short of."
            )
    return sizes[0]
