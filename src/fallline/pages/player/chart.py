"""Small charts of a number against the step, one line for each trajectory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fallline.pages.player.outline import outline

#: Units of a chart's box.
WIDTH, HEIGHT = 600, 200
#: A logarithmic chart shows at most this many powers of ten, the upper ones.
_DECADES = 12


@dataclass(frozen=True)
class Chart:
    """`lines` are SVG path data in a box of WIDTH by HEIGHT; `top` and `bottom` what its edges stand for."""

    title: str
    lines: tuple[str, ...]
    top: float
    bottom: float


def chart(
    what: str, series: Sequence[NDArray[np.float64]], steps: int, highest: float = np.inf, note: str = ""
) -> Chart | None:
    """Draw series that each begin at step 0; None if there is nothing finite to draw.

    The axis is logarithmic, and says so, if no number is negative and they span more than two powers of ten. Nothing
    over `highest` is shown; where a number isn't finite, the line has a gap. The title takes a `note`.

    >>> chart("Loss", [np.array([100.0, 10.0, 0.1])], 2).title
    'Loss (log scale)'
    """
    numbers = np.concatenate([np.empty(0), *series])
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return None
    top, bottom = float(min(numbers.max(), max(highest, numbers.min()))), float(numbers.min())
    smallest = float(numbers[numbers > 0].min(initial=np.inf))
    logarithmic = bottom >= 0 and top > 100 * smallest
    if logarithmic:
        bottom = max(smallest, top / 10**_DECADES)
        # What is lower leaves the box, as zero would.
        lines = [
            _line(np.log(np.maximum(values, bottom / 10)), np.log(bottom), np.log(top), steps) for values in series
        ]
    else:
        lines = [_line(values, bottom, top, steps) for values in series]
    scale = f"{'log' if logarithmic else 'linear'} scale" + (f"; {note}" if note else "")
    return Chart(f"{what} ({scale})", tuple(lines), top, bottom)


def _line(values: NDArray[np.float64], bottom: float, top: float, steps: int) -> str:
    x = np.arange(len(values)) * (WIDTH / max(steps, 1))
    part = (values - bottom) / (top - bottom) if top > bottom else np.where(np.isfinite(values), 0.5, np.nan)
    y = HEIGHT * (1 - np.minimum(part, 1.2))  # what is higher is cut off by the box
    finite = np.isfinite(y)
    runs = np.split(np.arange(len(y)), np.flatnonzero(np.diff(finite)) + 1)
    return "".join(outline(np.c_[x[run], y[run]]) for run in runs if len(run) and finite[run[0]])
