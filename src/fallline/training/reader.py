"""Examples of a Dataset, read under random numbers that follow from a seed, the epoch and the example."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

from torch import Tensor

from fallline.training.generators import Generators
from fallline.training.pairs import BATCHES, EXAMPLES, Pair, joined, pairs

_FEW = 16  # examples that are read again


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
        with self._generators.kept():
            items = []
            for number in numbers:
                again, place = divmod(number, len(self._rows))
                self._generators.seed(*key, place, again)
                items.append(self._dataset[self._rows[place]])
            self._generators.seed(*key, numbers[0])
            return self._joined([items])

    def read_all(self, key: int) -> tuple[Pair, bool]:
        """All examples in their order, and whether any random number was drawn for them."""
        with self._generators.kept():
            self._generators.seed(key)
            return self._generators.moved(
                lambda: self._joined([self._dataset[self._rows[place]] for place in part] for part in self._parts())
            )

    def difference(self, first: Pair, drew: bool, *, alone: bool) -> str | None:
        """How other readings differ from the first, which `drew` random numbers or not; None where they don't.

        With `alone`, examples must not hang on those that they are collated with either.
        """
        few = [range(place, place + 1) for place in sorted({len(self._rows) * k // _FEW for k in range(_FEW)})]
        parts = self._parts() if drew else few if self._collate is None else [next(iter(self._parts()))]
        if any(not self._same(first, part, key) for part in parts for key in (1, 2)):
            return "differ from one reading to the next"
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
