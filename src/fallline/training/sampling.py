"""The order in which a DataLoader's sampler names its examples, drawn anew for each epoch from a seed."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, RandomSampler, SequentialSampler, SubsetRandomSampler

from fallline.training.errors import ProblemError, first_line
from fallline.training.generators import Generators

_PAIRS = ((0, 0), (0, 1), (1, 1))  # seeds and epochs in which a fixed order has to be the same


class Sampler:
    """What a sampler names in each epoch, as numbers of examples; the same for all runs of a seed.

    Every random number that it draws, from whatever generator, follows from the seed and the epoch. A sampler that
    counts its epochs itself is gone through from the first on; `set_epoch`, where it has one, is called. `batch` is the
    size of the batches that a batch sampler of the user's own makes, else None.

    Raises ProblemError: it can be gone through only once, names no examples, or not the same number in every epoch;
    batches that differ in size before the last.

    >>> from torch.utils.data import WeightedRandomSampler
    >>> sampler = Sampler("train", WeightedRandomSampler([0.0, 1.0, 1.0], 6), examples=3)
    >>> len(sampler), 0 in sampler.order(seed=1, epoch=2), torch.equal(sampler.order(1, 2), sampler.order(1, 2))
    (6, False, True)
    """

    def __init__(self, name: str, sampler: Iterable[Any], examples: int, shared: Sequence[object] = ()) -> None:
        self._name = name
        self._sampler = sampler
        self._examples = self._rows = examples
        self._shared = shared  # what copies of the sampler need no copy of: the data
        self._runs: dict[int, tuple[Any, Generators, int, Tensor]] = {}
        self._positions: Tensor | None = None
        self._numbers_repeats = False
        self._length: int | None = None
        self.batch: int | None = None
        self._first = [self._draw(*pair) for pair in _PAIRS]

    def __len__(self) -> int:
        """How many examples it names in an epoch."""
        return len(self._first[0])

    @property
    def fixed(self) -> bool:
        """Whether every epoch of every seed has the same order."""
        return all(torch.equal(self._first[0], other) for other in self._first[1:])

    @property
    def named(self) -> list[int]:
        """The examples to read, in the order of the data: those of a fixed set that it names once each, else all."""
        some = [sorted(order.tolist()) for order in self._first]
        once = len(set(some[0])) == len(some[0])
        return some[0] if once and some[0] == some[1] == some[2] else list(range(self._examples))

    def over(self, rows: Sequence[int]) -> None:
        """From now on name examples by where they are in `rows`."""
        self._positions = torch.full((self._examples,), -1)
        self._positions[list(rows)] = torch.arange(len(rows))
        self._rows = len(rows)

    def number_repeats(self) -> None:
        """From now on add the number of rows for each time that an example was named before in its epoch."""
        self._numbers_repeats = True

    def order(self, seed: int, epoch: int) -> Tensor:
        """The examples of an epoch, in order."""
        order = self._draw(seed, epoch)
        positions = order if self._positions is None else self._positions[order]
        if (positions < 0).any():
            missing = int(order[positions < 0][0])
            raise ProblemError(
                f"{self._name}: its sampler names example {missing} in epoch {epoch + 1} of seed {seed}, but the first "
                "epochs went through others alone; let every epoch go through the same examples, or draw from all."
            )
        return _with_repeats(positions, self._rows) if self._numbers_repeats else positions

    def _draw(self, seed: int, epoch: int) -> Tensor:
        if seed not in self._runs or self._runs[seed][2] > epoch + 1:
            sampler = self._copy()
            self._runs[seed] = sampler, Generators(sampler), 0, torch.empty(0)
        sampler, generators, drawn, order = self._runs[seed]
        while drawn <= epoch:
            with generators.seeded(seed, drawn):
                if hasattr(sampler, "set_epoch"):
                    sampler.set_epoch(drawn)
                order = self._checked(list(sampler))
            drawn += 1
            self._runs[seed] = sampler, generators, drawn, order
        return order

    def _copy(self) -> Any:
        try:
            return copy.deepcopy(self._sampler, {id(one): one for one in self._shared})
        except Exception as error:
            raise ProblemError(
                f"{self._name}: its sampler can't be gone through again by every run ({first_line(error)}); give one "
                "that can be copied, such as a list or a torch.utils.data.Sampler."
            ) from error

    def _checked(self, names: list[Any]) -> Tensor:
        """Numbers of examples, of batches side by side."""
        if names and not _is_number(names[0]):
            batches = [[int(one) for one in batch] for batch in names]
            self.batch = self._batch_size([len(batch) for batch in batches])
            names = [one for batch in batches for one in batch]
        order = [int(one) for one in names]
        if not order:
            raise ProblemError(f"{self._name}: its sampler names no examples; let every pass over it name some.")
        if min(order) < 0 or max(order) >= self._examples:
            raise ProblemError(
                f"{self._name}: its sampler names examples {min(order)} to {max(order)}, and the Dataset has "
                f"{self._examples}, counted from 0; let it name these."
            )
        self._length = self._length or len(order)
        if len(order) != self._length:
            raise ProblemError(
                f"{self._name}: its sampler names {self._length} examples in one epoch and {len(order)} in another; "
                "let every epoch have as many, so that all runs take the same steps."
            )
        return torch.tensor(order)

    def _batch_size(self, sizes: list[int]) -> int:
        size = sizes[0]
        if any(other != size for other in sizes[1:-1]) or not 0 < sizes[-1] <= size or self.batch not in (None, size):
            raise ProblemError(
                f"{self._name}: its batches have {min(sizes)} to {max(sizes)} examples; make all of one size, "
                "which only the last of an epoch may fall short of."
            )
        return size


def _is_number(value: Any) -> bool:
    return hasattr(value, "__index__") and getattr(value, "ndim", 0) == 0


def _with_repeats(order: Tensor, rows: int) -> Tensor:
    """Add `rows` to a number for each time that it stands further to the left.

    >>> _with_repeats(torch.tensor([2, 0, 2, 2]), 10).tolist()
    [2, 0, 12, 22]
    """
    ascending, places = order.sort(stable=True)
    before = torch.arange(len(order)) - torch.searchsorted(ascending, ascending)
    return order.index_add(0, places, rows * before)


class Blocks:
    """The batches that a sampler names by number, each as the numbers of its examples; the sizes are all batches'."""

    def __init__(self, sampler: Iterable[Any], sizes: Sequence[int]) -> None:
        self._sampler = sampler
        self._blocks = [range(end - size, end) for end, size in zip(accumulate(sizes), sizes, strict=True)]

    def __iter__(self) -> Iterator[list[int]]:
        return (list(self._blocks[number]) for number in self._sampler)


@dataclass
class Order:
    """How an epoch goes through examples.

    `sampler` draws the order of each epoch; where there is none, a run takes the examples as they come or, with
    `shuffle`, in a permutation of its own for each epoch. Batches have `batch` examples where that is known, and of a
    batch sampler of the user's own (`own_batches`) no other number; `drop_last` leaves out those that don't fill one.
    """

    batch: int | None = None
    shuffle: bool = True
    sampler: Sampler | None = None
    drop_last: bool = False
    own_batches: bool = False


def order_of(name: str, batches: Iterable[Any], examples: int, dataset: object) -> tuple[Order, Sequence[int]]:
    """How a DataLoader's batch sampler goes through a Dataset of so many examples, and which of them are to be read.

    Raises ProblemError as `Sampler` does.
    """
    source: Any = batches
    order = Order(own_batches=type(batches) is not BatchSampler)
    if isinstance(batches, BatchSampler) and not order.own_batches:
        source, order.batch, order.drop_last = batches.sampler, batches.batch_size, batches.drop_last
    order.shuffle = not (type(source) is SequentialSampler and len(source.data_source) == examples)
    if type(source) is SubsetRandomSampler:
        return order, sorted(int(row) for row in source.indices)
    if not order.shuffle or (type(source) is RandomSampler and _is_permutation(source, examples)):
        return order, range(examples)
    sampler = Sampler(name, source, examples, (dataset, getattr(source, "data_source", None)))
    if order.own_batches:
        order.batch = sampler.batch
    if sampler.fixed:
        order.shuffle = False
        return order, sampler.order(0, 0).tolist()
    order.sampler = sampler
    sampler.over(sampler.named)
    return order, sampler.named


def one_pass(order: Order, rows: Sequence[int], seed: int) -> tuple[list[int], bool]:
    """Which of the rows one pass names, in the order of the data, and whether another would name others."""
    some, others = (_pass(order, rows, one) for one in (seed, seed + 1))
    return some, some != others


def _pass(order: Order, rows: Sequence[int], seed: int) -> list[int]:
    places = torch.arange(len(rows))
    if order.sampler is not None:
        places = order.sampler.order(seed, 0)
    elif order.shuffle:
        places = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    if order.drop_last and order.batch is not None:
        places = places[: len(places) // order.batch * order.batch]
    return sorted(rows[place] for place in places.tolist())


def _is_permutation(sampler: RandomSampler, examples: int) -> bool:
    return not sampler.replacement and sampler.num_samples == examples == len(sampler.data_source)
