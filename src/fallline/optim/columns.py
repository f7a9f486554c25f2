"""The host's numbers for the rows of a table: evaluated once for rows that are alike, else for each row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fallline.kernels import HostScalars


class Columns:
    """Evaluates scalar expressions for runs of rows.

    `vectors` holds what may differ from row to row, by name: [rows] each, read anew each time. The rest are the
    hyperparameters of a run of rows.
    """

    def __init__(self, scalars: HostScalars, vectors: Mapping[str, NDArray[Any]]) -> None:
        self.scalars = scalars
        self._vectors = [(scalars.names.index(name), vectors[name]) for name in scalars.names if name in vectors]
        #: Whether the numbers change from step to step by themselves.
        self.change = bool(self._vectors)

    def arguments(self, values: Mapping[str, float]) -> list[float]:
        """The hyperparameters in order, with room for what differs."""
        return [values.get(name, 0.0) for name in self.scalars.names]

    def fill(self, out: NDArray[np.float64], start: int, stop: int, arguments: list[float]) -> None:
        """Write the numbers of rows start to stop into `out` [stop - start, count]."""
        alike = True
        for place, vector in self._vectors:
            rows = vector[start:stop]
            arguments[place] = first = rows.item(0)
            alike = alike and _all_are(rows, first)
        if alike:
            out[:] = self.scalars.values(*arguments)
        else:
            given: dict[str, Any] = dict(zip(self.scalars.names, arguments, strict=True))
            given |= {self.scalars.names[place]: vector[start:stop] for place, vector in self._vectors}
            out[:] = self.scalars.columns(given, stop - start)


def _all_are(rows: NDArray[Any], first: float) -> bool:
    # For a few numbers a list is faster than NumPy's fixed cost.
    return rows.tolist().count(first) == len(rows) if len(rows) <= 256 else bool((rows == first).all())
