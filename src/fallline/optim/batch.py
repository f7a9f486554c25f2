"""Segments of one kernel: what is checked, and what is done, at every step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.graph import increment_version

from fallline.kernels import HostScalars, Kernel, SegmentTable
from fallline.optim.hyperparameters import Recipe
from fallline.optim.layout import BLOCK, Watch
from fallline.optim.states import StateOf, adopt_numbers, adopt_small

#: In a batch of more than one block, states of at most so many elements are adopted into one vector. They are looked at
#: by identity and by the vector's address: whoever moves one must replace it, not assign to its `.data`.
_SMALL = 1 << 12


@dataclass
class Span:
    """The rows that one param group has in a batch's table."""

    group: int
    start: int
    stop: int
    recipe: Recipe


class Batch:
    """Parameters of any groups whose rule and type are the same: one table, one launch a step.

    `absent[i]` names the states that were just made for parameter i, for rules that say how a state begins.
    """

    def __init__(
        self,
        kernel: Kernel,
        params: Sequence[Tensor],
        states: Sequence[StateOf],
        absent: Sequence[tuple[str, ...]],
        spans: Sequence[Span],
    ) -> None:
        self.params = list(params)
        self.spans = list(spans)
        recipe = spans[0].recipe
        self.table = SegmentTable(kernel, [p.numel() for p in params], [_row(p) for p in params])
        keys = [recipe.state_keys[spec.name] for spec in kernel.rule.tensor_states]
        small = [i for i, p in enumerate(params) if p.numel() <= _SMALL] if len(params) > BLOCK else []
        held: list[Tensor] = []
        for key in keys if small else ():
            held += adopt_small([params[i] for i in small], [states[i] for i in small], key)
        numbers = {spec.name: recipe.state_keys[spec.name] for spec in kernel.rule.number_states}
        everywhere = {recipe.state_keys[spec.name] for spec in kernel.rule.global_states}
        counted = ["step"] if recipe.counts_steps else []
        vectors = {
            key: states[0][key] if key in everywhere else adopt_numbers(states, key)
            for key in [*numbers.values(), *counted]
        }
        held += vectors.values()
        adopted = set(small)
        kept = [*keys, *vectors]
        self._blocks = []
        for start in range(0, len(params), BLOCK):
            rows = range(start, min(start + BLOCK, len(params)))
            loose = [states[i][key] for key in keys for i in rows if i not in adopted]
            if start == 0:
                loose += held  # watched once, for all their views
            self._blocks.append(Watch([params[i] for i in rows], [states[i] for i in rows], kept, loose))
        self._counts = vectors["step"].numpy() if counted else None
        self._numbers = [vectors[key].numpy() for key in numbers.values()]
        few = len(params) <= BLOCK  # of many, the numbers are watched by identity and by their vectors' addresses
        self._views = [state[key] for key in vectors for state in states] if few else []
        self._view_addresses = list(map(Tensor.data_ptr, self._views))
        # Views share their vector's version; these have their own.
        self._apart = [
            state[key] for key in vectors.keys() - everywhere for state in states if state[key]._base is None
        ]
        self._absent = {
            spec.absent: np.array([spec.name in made for made in absent], np.float64)
            for spec in kernel.rule.tensor_states
            if spec.absent in kernel.scalars.names
        }
        self._beginning = any(flags.any() for flags in self._absent.values())
        self._varying: dict[str, NDArray[Any]] = {
            name: np.broadcast_to(vector, len(params)) for name, vector in zip(numbers, self._numbers, strict=True)
        }
        if self._counts is not None:
            self._varying["t"] = self._counts
        if "dimensions" in kernel.scalars.names:
            self._varying["dimensions"] = np.array([p.dim() for p in params])
        self._columns = self._evaluated({**self._varying, **(self._absent if self._beginning else {})})
        totals = {f"total_{i}": column for i, column in enumerate(self.table.totals.T)} if numbers else {}
        self._becomes = np.empty((len(params), len(numbers)))
        self._next = [
            Columns(kernel.new_numbers, _cut({**self._varying, **totals}, span), self._becomes[span.start : span.stop])
            for span in self.spans
        ]
        tensors = zip(params, params, *([state[key] for state in states] for key in keys), strict=True)
        self.table.addresses[:] = [[tensor.data_ptr() for tensor in row] for row in tensors]
        self._gradient_column = self.table.addresses[:, 1]
        self._stale = True

    def set_recipe(self, group: int, recipe: Recipe) -> None:
        """Take a group's new hyperparameter values; the rule is the same."""
        for span in self.spans:
            if span.group == group:
                span.recipe = recipe
        self._stale = True

    def refresh(self) -> bool:
        """Read the gradients' addresses; False if anything else lies elsewhere or otherwise than it did."""
        if self._views and list(map(Tensor.data_ptr, self._views)) != self._view_addresses:
            return False
        addresses: list[int] = []
        for block in self._blocks:
            found = block.gradient_addresses()
            if found is None:
                return False
            addresses += found
        if self._apart:
            increment_version(self._apart)
        self._gradient_column[:] = addresses
        return all(addresses)  # a freed gradient lies nowhere

    def prepare(self) -> None:
        """Count the step and fill in the scalars."""
        if self._counts is not None:
            self._counts += 1
        if self._stale:
            for span, columns, following in zip(self.spans, self._columns, self._next, strict=True):
                columns.take(span.recipe.values)
                following.take(span.recipe.values)
        for columns in self._columns:
            if columns.change or (self._stale and columns.needed):
                columns.fill()
        self._stale = False

    def finish(self) -> None:
        """Evaluate what the states that are numbers become, from what they were and the step's sums."""
        if self._numbers:
            for following in self._next:
                following.fill()

    def settle(self) -> None:
        """Take up what a step leaves: states that are numbers, and those that have begun."""
        for block in self._blocks:
            block.held = []
        for vector, column in zip(self._numbers, self._becomes.T, strict=True):
            vector[...] = column if vector.ndim else column[0]
        if self._beginning:
            self._columns = self._evaluated(self._varying)
            self._beginning, self._stale = False, True

    def _evaluated(self, vectors: Mapping[str, NDArray[Any]]) -> list[Columns]:
        """What evaluates each span's scalars into the table."""
        table = self.table
        return [
            Columns(table.kernel.scalars, _cut(vectors, span), table.scalars[span.start : span.stop])
            for span in self.spans
        ]


def _cut(vectors: Mapping[str, NDArray[Any]], span: Span) -> dict[str, NDArray[Any]]:
    return {name: vector[span.start : span.stop] for name, vector in vectors.items()}


def _row(p: Tensor) -> int:
    """Elements in a channel: an index of the first dimension, or the whole of a tensor without a second."""
    return p.numel() // p.shape[0] if p.dim() > 1 else p.numel()


class Columns:
    """Evaluates scalar expressions for a run of rows, into `out` [rows, count].

    `vectors` holds what may differ from row to row, by name: [rows] each, read anew each time. The rest are the
    hyperparameters of the run, as `take` was given them.
    """

    def __init__(self, scalars: HostScalars, vectors: Mapping[str, NDArray[Any]], out: NDArray[np.float64]) -> None:
        self._scalars = scalars
        self._out = out
        self._vectors = [(scalars.names.index(name), vectors[name]) for name in scalars.names if name in vectors]
        self._arguments: list[float] = []
        #: Whether there is something to evaluate, and whether it changes from step to step by itself.
        self.needed, self.change = bool(scalars.count), bool(scalars.count and self._vectors)

    def take(self, values: Mapping[str, float]) -> None:
        """Take the values of the hyperparameters."""
        self._arguments = [values.get(name, 0.0) for name in self._scalars.names]

    def fill(self) -> None:
        """Evaluate the numbers of all rows."""
        alike = True
        for place, rows in self._vectors:
            self._arguments[place] = first = rows.item(0)
            alike = alike and _all_are(rows, first)
        if alike:
            self._out[:] = self._scalars.values(*self._arguments)
        else:
            given: dict[str, Any] = dict(zip(self._scalars.names, self._arguments, strict=True))
            given |= {self._scalars.names[place]: rows for place, rows in self._vectors}
            self._out[:] = self._scalars.columns(given, len(self._out))


def _all_are(rows: NDArray[Any], first: float) -> bool:
    # For a few numbers a list is faster than NumPy's fixed cost.
    return rows.tolist().count(first) == len(rows) if len(rows) <= 256 else bool((rows == first).all())
