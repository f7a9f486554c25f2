"""The host's numbers for the rows of a table: evaluated once for rows that are alike, else for each row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fallline.kernels import HostScalars


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
