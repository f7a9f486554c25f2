"""Datasets and DataLoaders of pairs: their examples, and what they say of order and batches."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterator, Sequence, Sized
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, default_collate

from fallline.training.errors import ProblemError
from fallline.training.generators import Generators
from fallline.training.pairs import BATCHES, EXAMPLES, Pair, joined, pairs
from fallline.training.reader import Reader
from fallline.training.sampling import Blocks, Order, Sampler

#: Bytes that are read at most from what does not tell its length, since it may have no end.
MOST_BYTES = 2**33
_FEW = 20  # batches of a stream that are read again
_CHUNK = 64  # examples collated at once where a loader does not say


@dataclass(frozen=True)
class Loaded:
    """What is read, and how an epoch goes through it.

    `pair` is one reading of the examples, and `reader` is there where every epoch has to read them anew. `shuffle`,
    `sampler`, `batch`, `drop_last` and `own_batches` are as in `Order`; `difference` says how another reading differs.
    """

    pair: Pair
    shuffle: bool = True
    sampler: Sampler | None = None
    batch: int | None = None
    drop_last: bool = False
    own_batches: bool = False
    reader: Reader | None = None
    difference: str | None = None


def read_once(name: str, data: Dataset[Any] | DataLoader[Any]) -> Pair:
    """What one pass over a Dataset or a DataLoader gives, of a DataLoader's in the order of its Dataset.

    Where another pass would give others, a warning says that the first are kept. What is drawn follows from the name.

    Raises ProblemError, naming the split: no length, no examples, no pairs, shapes that differ.
    """
    found = _load(name, data, once=True)
    if found.difference is not None:
        warnings.warn(
            f"{name}: its examples {found.difference}; the first are kept, and every evaluation takes the same.",
            stacklevel=2,
        )
    return found.pair


def load(name: str, data: Dataset[Any] | DataLoader[Any]) -> Loaded:
    """Read a Dataset or a DataLoader to train on; where examples differ at each reading, a warning says so.

    Raises ProblemError as `read_once` does, and for what `Order` refuses.
    """
    found = _load(name, data, once=False)
    if found.difference is not None:
        fate = (
            "every epoch reads them anew, under random numbers that follow from the run's seed, the epoch and the "
            "example"
            if found.reader is not None
            else "no seed settles them, so the first are kept for every epoch; give a Dataset with __getitem__ that "
            "draws from torch's, NumPy's or Python's generator"
        )
        warnings.warn(f"{name}: its examples {found.difference}; {fate}.", stacklevel=2)
    return found


def _load(name: str, data: Dataset[Any] | DataLoader[Any], *, once: bool) -> Loaded:
    key = zlib.crc32(name.encode())  # from one key for all splits, random examples would be the same in all
    if isinstance(data, DataLoader):
        return _of_loader(name, data, key, once)
    if isinstance(data, IterableDataset):
        generators = Generators(data)
        with generators.kept():
            generators.seed(key)
            return Loaded(joined(name, _bounded(name, pairs(name, data, EXAMPLES)), EXAMPLES))
    return _read(Reader(name, data, range(_length(name, data))), key, once)


def _of_loader(name: str, loader: DataLoader[Any], key: int, once: bool) -> Loaded:
    if isinstance(loader.dataset, IterableDataset) or type(loader).__iter__ is not DataLoader.__iter__:
        return _iterated(name, loader, key)
    if loader.batch_sampler is None:
        return _of_batches(name, loader, key, once)
    order = Order(name, loader.batch_sampler, _length(name, loader.dataset), loader.dataset)
    rows, redrawn = order.one_pass(key) if once else (order.rows, False)
    collate = None if loader.collate_fn is default_collate else loader.collate_fn
    reader = Reader(name, loader.dataset, rows, collate, order.batch or _CHUNK)
    return _read(reader, key, once, order, "are drawn anew by its sampler in every pass" if redrawn else None)


def _read(reader: Reader, key: int, once: bool, order: Order | None = None, difference: str | None = None) -> Loaded:
    pair, drew = reader.read_all(key)
    difference = reader.difference(pair, drew, alone=not once) or difference
    fresh = reader if difference is not None and not once and reader.is_settled() else None
    if order is None:
        return Loaded(pair, reader=fresh, difference=difference)
    return Loaded(
        pair, order.shuffle, order.sampler, order.batch, order.drop_last, order.own_batches, fresh, difference
    )


def _of_batches(name: str, loader: DataLoader[Any], key: int, once: bool) -> Loaded:
    """What a loader without batches of its own gives: each item of its Dataset is a batch."""
    dataset: Any = loader.dataset
    items = range(_length(name, dataset))
    generators = Generators((dataset, loader.collate_fn))

    def read(numbers: Sequence[int], key: int) -> list[Sequence[Any]]:
        with generators.kept():
            generators.seed(key)
            return list(pairs(name, (loader.collate_fn(dataset[number]) for number in numbers), BATCHES))

    found = read(items, key)
    if any(not _is_batch(item) for item in found):
        raise ProblemError(
            f"{name}: its DataLoader has batch_size=None, so that each item of its Dataset must be a batch, with as "
            "many x as y; give it a batch_size where the items are single examples."
        )
    sizes = [len(inputs) for inputs, _ in found]
    order = Order(name, Blocks(loader.sampler, sizes), sum(sizes), dataset)
    rows, redrawn = order.one_pass(key) if once else (order.rows, False)
    difference = "are drawn anew by its sampler in every pass" if redrawn else None
    if _differ(name, found[:_FEW], read(items[:_FEW], key + 1)):
        difference = "differ from one reading to the next"
    inputs, targets = (half[rows] for half in joined(name, found, BATCHES))
    return Loaded((inputs, targets), order.shuffle, order.sampler, order.batch, False, True, None, difference)


def _is_batch(item: Sequence[Any]) -> bool:
    x, y = (getattr(half, "shape", None) or (len(half) if isinstance(half, Sized) else 0,) for half in item)
    return x[0] == y[0] > 0


def _iterated(name: str, loader: DataLoader[Any], key: int) -> Loaded:
    """What a loader gives that reads a stream, or iterates in its own way: gone through once, to its end."""
    generators = Generators(loader)
    with generators.kept():
        generators.seed(key)
        found = list(_bounded(name, pairs(name, loader, BATCHES)))
        generators.seed(key + 1)
        again = list(islice(pairs(name, loader, BATCHES), _FEW))
    pair = joined(name, found, BATCHES)
    difference = "differ from one reading to the next" if _differ(name, found[: len(again)], again) else None
    return Loaded(pair, shuffle=False, batch=loader.batch_size or len(found[0][0]), difference=difference)


def _differ(name: str, some: Sequence[Sequence[Any]], others: Sequence[Sequence[Any]]) -> bool:
    """Whether batches differ from others; what can't be read again differs in nothing."""
    if not some or not others:
        return False
    mine, theirs = joined(name, some, BATCHES), joined(name, others, BATCHES)
    return any(not torch.equal(one, other) for one, other in zip(mine, theirs, strict=True))


def _length(name: str, dataset: object) -> int:
    if not isinstance(dataset, Sized):
        kind = type(dataset).__name__
        raise ProblemError(f"{name}: {kind} has no length; give it __len__, or make it an IterableDataset.")
    return len(dataset)


def _bounded(name: str, items: Iterator[Sequence[Any]]) -> Iterator[Sequence[Any]]:
    """Pass on what is read without knowing how much it is, up to `MOST_BYTES`."""
    total = 0
    for item in items:
        total += sum(int(getattr(part, "nbytes", 0)) for part in item)
        if total > MOST_BYTES:
            raise ProblemError(
                f"{name}: it has given {MOST_BYTES >> 30} GiB and may have no end; for training say with steps= how "
                "many batches a run takes, else give fewer examples, or tensors."
            )
        yield item
