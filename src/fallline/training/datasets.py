"""Pairs, Datasets and DataLoaders read into memory: their examples, and what they say of order and batches."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, default_collate

from fallline.training.errors import ProblemError
from fallline.training.generators import Generators
from fallline.training.sampling import Blocks, Order, one_pass, order_of
from fallline.training.splits import BATCHES, EXAMPLES, PACK, REMEDY, Pair, Split, joined, pairs, split_of

#: Bytes that are read at most from what does not tell its length, since it may have no end.
MOST_BYTES = 2**33
_FEW = 16  # examples that are read again
_FEW_BATCHES = 20  # of a stream, that are read again
_CHUNK = 64  # examples collated at once where a loader does not say
_DIFFER = "differ from one reading to the next"
_REDRAWN = "are drawn anew by its sampler in every pass"


class Reader:
    """Reads examples by their place among `rows`; a `collate` of the user's own makes batches of `size` of them.

    What reading an example draws, from whatever generator, follows from the key, the place and how often the example
    was named before; what collating draws, from the key and the first example.
    """

    def __init__(
        self, name: str, dataset: Any, rows: Sequence[int], collate: Callable[[Any], Any] | None = None, size: int = 1
    ) -> None:
        self._name = name
        self._dataset = dataset
        self._rows = rows
        self._collate = collate
        self._size = size if collate is not None else 1
        self._generators = Generators((dataset, collate))

    def read(self, numbers: Sequence[int], *key: int) -> Pair:
        """The examples of these numbers, as one batch; numbers beyond the rows go through them again.

        Raises ProblemError where they are no pairs, or can't become two tensors.
        """
        items = []
        with self._generators.seeded(*key):
            for number in numbers:
                again, place = divmod(number, len(self._rows))
                self._generators.seed(*key, place, again)
                items.append(self._dataset[self._rows[place]])
            self._generators.seed(*key, numbers[0])
            return self._joined([items])

    def read_all(self, key: int) -> tuple[Pair, bool]:
        """All examples in their order, and whether any random number was drawn for them."""
        batches = ([self._dataset[self._rows[place]] for place in part] for part in self._parts())
        with self._generators.seeded(key):
            return self._generators.moved(lambda: self._joined(batches))

    def difference(self, first: Pair, drew: bool, *, alone: bool) -> str | None:
        """How other readings differ from the first, which `drew` random numbers or not; None where they don't.

        With `alone`, examples must not hang on those that they are collated with either.
        """
        few = [range(place, place + 1) for place in sorted({len(self._rows) * k // _FEW for k in range(_FEW)})]
        parts = self._parts() if drew else few if self._collate is None else [next(iter(self._parts()))]
        if any(not self._same(first, part, key) for part in parts for key in (1, 2)):
            return _DIFFER
        if alone and self._collate is not None and any(not self._same(first, part, 1) for part in few):
            return "hang on the batch that they are collated in"
        return None

    def is_settled(self) -> bool:
        """Whether the same seeds give the same examples."""
        places = range(min(_FEW if self._collate is None else self._size, len(self._rows)))
        return self._same(self.read(places, 3), places, 3)

    def _parts(self) -> Iterable[range]:
        count = len(self._rows)
        return (range(start, min(start + self._size, count)) for start in range(0, count, self._size))

    def _same(self, first: Pair, places: range, key: int) -> bool:
        try:
            again = self.read(places, key)
        except Exception:  # a collate that needs several, for one
            return False
        return all(_equal(one, half[places.start : places.stop]) for one, half in zip(again, first, strict=True))

    def _joined(self, batches: Iterable[list[Any]]) -> Pair:
        if self._collate is None:
            return joined(self._name, pairs(self._name, chain.from_iterable(batches), EXAMPLES), EXAMPLES)
        return joined(self._name, pairs(self._name, map(self._collate, batches), BATCHES), BATCHES)


def _equal(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return bool((one == other).logical_or((one != one) & (other != other)).all())


@dataclass(frozen=True)
class Loaded:
    """What is read, and how an epoch goes through it.

    `pair` is one reading of the examples, and `reader` is there where every epoch has to read them anew; `difference`
    says how another reading differs.
    """

    pair: Pair
    order: Order
    reader: Reader | None = None
    difference: str | None = None


def as_split(name: str, data: object, dtype: torch.dtype) -> Split:
    """Make a split of (X, y), or of a Dataset or a DataLoader, which is read once.

    Floating-point numbers become `dtype`, integer targets int64, on the CPU. What needs no conversion is not copied.
    What reading draws follows from the name of the split; where examples differ each time, a warning says so.

    Raises ProblemError, naming the split: not a pair, a Dataset or a DataLoader, not numbers, different lengths, no
    examples, NaN or infinity.

    >>> split = as_split("train", (np.zeros((3, 2)), np.array([0, 1, 1])), torch.float32)
    >>> len(split), split.inputs.dtype, split.targets.dtype
    (3, torch.float32, torch.int64)
    """
    if isinstance(data, Dataset | DataLoader):
        return split_of(name, load(name, data, once=True).pair, dtype)
    if isinstance(data, tuple | list) and len(data) == 2:
        return split_of(name, (data[0], data[1]), dtype)
    if isinstance(data, tuple | list | Mapping) and len(data) > 2:
        raise ProblemError(f"{name}: got {type(data).__name__} of {len(data)} parts, and takes a pair (X, y); {PACK}.")
    hint = " (for a model without targets, (X, X))" if isinstance(data, Tensor | np.ndarray) else ""
    raise ProblemError(f"{name}: got {type(data).__name__}; {REMEDY}{hint}.")


def load(name: str, data: Dataset[Any] | DataLoader[Any], *, once: bool = False) -> Loaded:
    """Read a Dataset or a DataLoader to train on; where examples differ at each reading, a warning says so.

    With `once` it is not trained on: what one pass gives is kept, of a DataLoader in the order of its Dataset. What is
    drawn for it follows from the name.

    Raises ProblemError, naming the split: no length, no examples, no pairs, shapes that differ; what `Order` refuses.
    """
    found = _load(name, data, once)
    if found.difference is not None:
        fate = (
            "the first are kept, and every evaluation takes the same"
            if once
            else "every epoch reads them anew, under random numbers that follow from the run's seed, the epoch and the "
            "example"
            if found.reader is not None
            else "no seed settles them, so the first are kept for every epoch; give a Dataset with __getitem__ that "
            "draws from torch's, NumPy's or Python's generator"
        )
        warnings.warn(f"{name}: its examples {found.difference}; {fate}.", stacklevel=2)
    return found


def _load(name: str, data: Dataset[Any] | DataLoader[Any], once: bool) -> Loaded:
    key = zlib.crc32(name.encode())  # from one key for all splits, random examples would be the same in all
    if isinstance(data, DataLoader):
        return _of_loader(name, data, key, once)
    if isinstance(data, IterableDataset):
        with Generators(data).seeded(key):
            return Loaded(joined(name, _bounded(name, pairs(name, data, EXAMPLES)), EXAMPLES), Order())
    return _read(Reader(name, data, range(_length(name, data))), Order(), key, once)


def _of_loader(name: str, loader: DataLoader[Any], key: int, once: bool) -> Loaded:
    if isinstance(loader.dataset, IterableDataset) or type(loader).__iter__ is not DataLoader.__iter__:
        return _iterated(name, loader, key)
    if loader.batch_sampler is None:
        return _of_batches(name, loader, key, once)
    order, rows = order_of(name, loader.batch_sampler, _length(name, loader.dataset), loader.dataset)
    rows, redrawn = one_pass(order, rows, key) if once else (rows, False)
    collate = None if loader.collate_fn is default_collate else loader.collate_fn
    reader = Reader(name, loader.dataset, rows, collate, order.batch or _CHUNK)
    return _read(reader, order, key, once, _REDRAWN if redrawn else None)


def _read(reader: Reader, order: Order, key: int, once: bool, difference: str | None = None) -> Loaded:
    pair, drew = reader.read_all(key)
    difference = reader.difference(pair, drew, alone=not once) or difference
    fresh = reader if difference is not None and not once and reader.is_settled() else None
    return Loaded(pair, order, fresh, difference)


def _of_batches(name: str, loader: DataLoader[Any], key: int, once: bool) -> Loaded:
    """What a loader without batches of its own gives: each item of its Dataset is a batch."""
    dataset: Any = loader.dataset
    items = range(_length(name, dataset))
    generators = Generators((dataset, loader.collate_fn))

    def read(numbers: Sequence[int], key: int) -> list[Sequence[Any]]:
        with generators.seeded(key):
            return list(pairs(name, (loader.collate_fn(dataset[number]) for number in numbers), BATCHES))

    found = read(items, key)
    if not all(map(_is_batch, found)):
        raise ProblemError(
            f"{name}: its DataLoader has batch_size=None, so that each item of its Dataset must be a batch, with as "
            "many x as y; give it a batch_size where the items are single examples."
        )
    sizes = [len(inputs) for inputs, _ in found]
    order, rows = order_of(name, Blocks(loader.sampler, sizes), sum(sizes), dataset)
    rows, redrawn = one_pass(order, rows, key) if once else (rows, False)
    difference = _REDRAWN if redrawn else None
    if _differ(name, found[:_FEW_BATCHES], read(items[:_FEW_BATCHES], key + 1)):
        difference = _DIFFER
    inputs, targets = (half[rows] for half in joined(name, found, BATCHES))
    return Loaded((inputs, targets), order, None, difference)


def _is_batch(item: Sequence[Any]) -> bool:
    x, y = (getattr(half, "shape", None) or (len(half) if isinstance(half, Sized) else 0,) for half in item)
    return x[0] == y[0] > 0


def _iterated(name: str, loader: DataLoader[Any], key: int) -> Loaded:
    """What a loader gives that reads a stream, or iterates in its own way: gone through once, to its end."""
    generators = Generators(loader)
    with generators.seeded(key):
        found = list(_bounded(name, pairs(name, loader, BATCHES)))
        generators.seed(key + 1)
        again = list(islice(pairs(name, loader, BATCHES), _FEW_BATCHES))
    pair = joined(name, found, BATCHES)
    difference = _DIFFER if _differ(name, found[: len(again)], again) else None
    return Loaded(pair, Order(loader.batch_size or len(found[0][0]), shuffle=False), None, difference)


def _differ(name: str, some: Sequence[Sequence[Any]], others: Sequence[Sequence[Any]]) -> bool:
    """Whether batches differ from others; what can't be read again differs in nothing."""
    if not some or not others:
        return False
    mine, theirs = joined(name, some, BATCHES), joined(name, others, BATCHES)
    return any(not torch.equal(one, other) for one, other in zip(mine, theirs, strict=True))


def _length(name: str, dataset: object) -> int:
    if not isinstance(dataset, Sized):
        raise ProblemError(
            f"{name}: {type(dataset).__name__} has no length; give it __len__, or make it an IterableDataset."
        )
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
