"""Segments of one kernel: what is checked, and what is done, at every step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fallline.kernels import Kernel, SegmentTable
from fallline.optim.recipe import Recipe
from fallline.optim.states import StateOf, adopt_small, adopt_steps
from fallline.optim.watch import BLOCK, Watch

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
    arguments: list[float] = field(default_factory=list)


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
        keys = [recipe.state_keys[spec.name] for spec in kernel.rule.states]
        small = [i for i, p in enumerate(params) if p.numel() <= _SMALL] if len(params) > BLOCK else []
        held: list[Tensor] = []
        for key in keys if small else ():
            held += adopt_small([params[i] for i in small], [states[i] for i in small], key)
        self._counts: NDArray[Any] | None = None
        if recipe.counts_steps:
            held.append(adopt_steps(states))
            self._counts = held[-1].numpy()
        adopted = set(small)
        kept = [*keys, "step"] if recipe.counts_steps else keys
        self._blocks = []
        for start in range(0, len(params), BLOCK):
            rows = range(start, min(start + BLOCK, len(params)))
            loose = [states[i][key] for key in keys for i in rows if i not in adopted]
            if start == 0:
                loose += held  # watched once, for all their views
            self._blocks.append(Watch([params[i] for i in rows], [states[i] for i in rows], kept, loose))
        self._absent = {
            spec.absent: np.array([spec.name in made for made in absent], np.float64)
            for spec in kernel.rule.states
            if spec.absent in kernel.scalars.names
        }
        self._beginning = any(flags.any() for flags in self._absent.values())
        self._uses_t = "t" in kernel.scalars.names
        self._place_of_t = kernel.scalars.names.index("t") if self._uses_t else -1
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
        addresses: list[int] = []
        for block in self._blocks:
            found = block.gradient_addresses()
            if found is None:
                return False
            addresses += found
        self._gradient_column[:] = addresses
        return all(addresses)  # a freed gradient lies nowhere

    def run(self) -> None:
        """Take the step: count up, fill in the scalars, launch."""
        if self._counts is not None:
            self._counts += 1
        if self._stale or self._uses_t:
            for span in self.spans:
                self._fill(span)
            self._stale = False
        self.table.run()
        if self._beginning:
            for flags in self._absent.values():
                flags[:] = 0
            self._beginning, self._stale = False, True

    def _fill(self, span: Span) -> None:
        """Evaluate a group's scalars: once for all its rows, or for each row where the rows differ."""
        scalars = self.table.kernel.scalars
        if not scalars.count:
            return
        rows = slice(span.start, span.stop)
        counts = self._counts[rows] if self._uses_t and self._counts is not None else None
        if self._beginning or (counts is not None and not _all_are(counts, counts.item(0))):
            given = {**span.recipe.values, **{name: flags[rows] for name, flags in self._absent.items()}}
            if counts is not None:
                given["t"] = counts
            self.table.scalars[rows] = scalars.columns(given, span.stop - span.start)
            return
        if self._stale:
            given = {**dict.fromkeys(self._absent, 0.0), **span.recipe.values, "t": 0.0}
            span.arguments = [given[name] for name in scalars.names]
        if counts is not None:
            span.arguments[self._place_of_t] = counts.item(0)
        self.table.scalars[rows] = scalars.values(*span.arguments)


def _all_are(counts: NDArray[Any], t: float) -> bool:
    # For a few numbers a list is faster than NumPy's fixed cost.
    return counts.tolist().count(t) == len(counts) if len(counts) <= 256 else bool((counts == t).all())


def _row(p: Tensor) -> int:
    """Elements in a channel: an index of the first dimension, or the whole of a tensor without a second."""
    return p.numel() // p.shape[0] if p.dim() > 1 else p.numel()
