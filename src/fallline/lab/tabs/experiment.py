"""What an experiment of a tab gives back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def series(name: str, x: ArrayLike, y: ArrayLike) -> dict[str, Any]:
    """A line of a chart; what is not finite is null."""
    return {"name": name, "x": np.asarray(x).tolist(), "y": [_number(value) for value in np.asarray(y).tolist()]}


def experiment(
    title: str,
    sentence: str,
    axes: tuple[str, str],
    lines: Sequence[dict[str, Any]],
    columns: Sequence[str],
    rows: Sequence[Sequence[str | float]],
) -> dict[str, Any]:
    """A tab's answer as plain data; numbers of the table have four digits."""
    return {
        "title": title,
        "sentence": sentence,
        "x": axes[0],
        "y": axes[1],
        "series": list(lines),
        "table": {
            "columns": list(columns),
            "rows": [[_short(one) for one in row] for row in rows],
        },
    }


def _short(value: str | float) -> str | float | None:
    return value if isinstance(value, (str, int)) else _number(float(f"{value:.4g}"))


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
