"""The numbers of a table's rows on the host: what the scalars come to before a step, what rows keep after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fallline.kernels.eager import HostScalars

Numbers = NDArray[Any]


@dataclass
class Section:
    """A run of rows with the hyperparameters that they share.

    Attributes:
        start: The first row.
        stop: The row behind the last.
        values: The hyperparameters by name.
    """

    start: int
    stop: int
    values: Mapping[str, Any]


@dataclass
class Given:
    """What the numbers of rows follow from.

    Attributes:
        sections: The rows, run by run.
        varying: By name what may differ from row to row, [rows]; read anew each step.
        absent: By name which states were just made, [rows]; forgotten after the first step.
        kept: The numbers of `varying` to which a step gives new values, in the order of `plan.new_numbers`: [rows], or
            one for all.
        counts: The numbers of steps taken, [rows], to which each step adds one; None: whoever uses the rows counts.
        apart: Whether rows are evaluated one by one even when all are alike, so that no row's numbers depend on which
            others there are; the values of a section may then be arrays [rows].
    """

    sections: Sequence[Section]
    varying: Mapping[str, Numbers] = field(default_factory=dict)
    absent: Mapping[str, Numbers] = field(default_factory=dict)
    kept: Sequence[Numbers] = ()
    counts: Numbers | None = None
    apart: bool = False


class RowNumbers:
    """The scalars of rows, evaluated before a step, and what the numbers that rows keep become after it.

    Args:
        scalars: The host's function of the scalars.
        becomes: The host's function of the numbers that are kept.
        given: What they follow from.
        out: Where the scalars go: [rows, scalars], or [copies, rows, scalars] for rows that are there several times.
        totals: Where the rows' sums lie once a step was run, [rows, sums].
    """

    def __init__(self, scalars: HostScalars, becomes: HostScalars, given: Given, out: Numbers, totals: Numbers) -> None:
        self.given, self._counts = given, given.counts
        self._scalars, self._out = scalars, out
        self._beginning = any(flags.any() for flags in given.absent.values())
        self._columns = self._evaluated({**given.varying, **given.absent} if self._beginning else given.varying)
        self._becomes = np.empty((out.shape[-2], len(given.kept)))
        self._following: list[_Columns] = []
        if given.kept:
            known = {**given.varying, **{f"total_{i}": column for i, column in enumerate(totals.T)}}
            self._following = [_Columns(becomes, known, one, self._becomes, given.apart) for one in given.sections]
        #: Set when values of a section have changed.
        self.stale = True
        #: Whether a step leaves anything to take up.
        self.unsettled = self._beginning or bool(given.kept)

    def prepare(self) -> None:
        """Count the step, and evaluate the scalars that have changed."""
        if self._counts is not None:
            self._counts += 1
        stale = self.stale
        if stale:
            for columns in (*self._columns, *self._following):
                columns.take()
        for columns in self._columns:
            if columns.change or (stale and columns.needed):
                columns.fill()
        self.stale = False

    def finish(self) -> None:
        """Evaluate what the numbers that are kept become, from what they were and the step's sums."""
        for columns in self._following:
            columns.fill()

    def settle(self) -> None:
        """Take up what a step leaves: numbers that are kept, and states that have begun."""
        for vector, column in zip(self.given.kept, self._becomes.T, strict=True):
            vector[...] = column if vector.ndim else column[0]
        if self._beginning:
            self._columns = self._evaluated(self.given.varying)
            self._beginning, self.stale = False, True
            self.unsettled = bool(self.given.kept)

    def _evaluated(self, vectors: Mapping[str, Numbers]) -> list[_Columns]:
        given = self.given
        return [_Columns(self._scalars, vectors, section, self._out, given.apart) for section in given.sections]


class _Columns:
    """Evaluates scalar expressions for a section of rows: once for rows that are alike, else for each."""

    def __init__(
        self, scalars: HostScalars, vectors: Mapping[str, Numbers], section: Section, out: Numbers, apart: bool
    ) -> None:
        self._scalars, self._section, self._apart = scalars, section, apart
        self._out = out[..., section.start : section.stop, :]
        self._vectors = [
            (place, vectors[name][section.start : section.stop])
            for place, name in enumerate(scalars.names)
            if name in vectors
        ]
        self._arguments: list[Any] = []
        #: Whether there is something to evaluate, and whether it changes from step to step by itself.
        self.needed, self.change = bool(scalars.count), bool(scalars.count and self._vectors)

    def take(self) -> None:
        """Take the values of the section's hyperparameters."""
        values = self._section.values
        self._arguments = [values.get(name, 0.0) for name in self._scalars.names]

    def fill(self) -> None:
        """Evaluate the numbers of all rows."""
        if not self._apart and self._alike():
            self._out[:] = self._scalars.values(*self._arguments)
        else:
            given = dict(zip(self._scalars.names, self._arguments, strict=True))
            given |= {self._scalars.names[place]: rows for place, rows in self._vectors}
            self._out[:] = self._scalars.columns(given, self._out.shape[-2])

    def _alike(self) -> bool:
        """Take what varies from the first row; whether all have the same."""
        alike = True
        for place, rows in self._vectors:
            self._arguments[place] = first = rows.item(0)
            alike = alike and _all_are(rows, first)
        return alike


def _all_are(rows: Numbers, first: float) -> bool:
    # For a few numbers a list is faster than NumPy's fixed cost.
    return rows.tolist().count(first) == len(rows) if len(rows) <= 256 else bool((rows == first).all())
