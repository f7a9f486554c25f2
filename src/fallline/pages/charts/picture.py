"""A chart, computed and not yet drawn: axes, marks, key and table. The page and the still figures draw the same one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: "line" of an arm, "interval" a solid one, "faint" the line of a single run, "band" between two lines, "dots",
#: "hollow" dots of what is less sure or off the scale, "crosses" of what diverged.
Kind = Literal["line", "interval", "faint", "band", "dots", "hollow", "crosses"]


@dataclass(frozen=True)
class Axis:
    """What an axis counts. `ticks` are names for the numbers from 0 up; `view` what is shown, all if None."""

    label: str
    logarithmic: bool = False
    ticks: tuple[str, ...] = ()
    view: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Mark:
    """One thing to draw for the arm with number `arm`: `y` [n] against `x` [n], given for each of the axes to choose.

    NaN ends a line and begins another. A band lies between `y` and `top` [n].
    """

    kind: Kind
    arm: int
    x: Mapping[str, Array]
    y: Array
    top: Array | None = None


@dataclass(frozen=True)
class Table:
    """The numbers behind a chart: texts by row."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, eq=False)
class Picture:
    """A chart. `x` are the axes to choose from, the first one to begin with.

    `key` names the arms that are on it, by their numbers. On the line at height `ceiling` stand runs that have no place
    on the scale. `notes` say what the chart alone does not.
    """

    title: str
    x: Mapping[str, Axis]
    y: Axis
    marks: tuple[Mark, ...]
    key: Mapping[int, str]
    table: Table
    ceiling: float | None = None
    notes: tuple[str, ...] = ()

    def has(self, arm: int, kind: Kind) -> bool:
        """Whether there is a mark of this kind for the arm."""
        return any(mark.arm == arm and mark.kind == kind for mark in self.marks)


@dataclass(frozen=True)
class Scale:
    """A scale for scores: whether it is logarithmic, and its view.

    What is worse than `limit` is off it; for that there is a line at height `ceiling`, in a `high_view`.
    """

    logarithmic: bool
    view: tuple[float, float]
    ceiling: float
    high_view: tuple[float, float]
    limit: float


def score_scale(scores: Array, untrained: float, *, higher_is_better: bool) -> Scale:
    """A scale on which the good scores can be told apart.

    It is logarithmic for positive losses over more than one power of ten. Scores worse than the untrained model's by
    more than the best is better are off it, and so is what isn't finite.

    >>> score_scale(np.array([0.9, 0.5, -40.0]), 0.1, higher_is_better=True).limit
    -0.7...
    """
    finite = scores[np.isfinite(scores)]
    if not len(finite):
        return Scale(False, (0.0, 1.0), 1.0, (0.0, 1.1), math.nan)
    logarithmic = not higher_is_better and finite.min() > 0 and bool(finite.max() > 10 * finite.min())
    sign = -1.0 if higher_is_better else 1.0
    losses = np.log10(finite) if logarithmic else sign * finite
    best, reference = losses.min(), losses.max()
    if math.isfinite(untrained) and (untrained > 0 or not logarithmic):
        reference = math.log10(untrained) if logarithmic else sign * untrained
    if reference <= best:
        reference = losses.max()
    limit = 2 * reference - best
    shown = losses[losses <= limit]
    ends = sorted(float(end) if logarithmic else sign * float(end) for end in (best, shown.max()))
    span = ends[1] - ends[0] or abs(ends[1]) or 1.0
    places = (ends[0] - 0.06 * span, ends[1] + 0.06 * span, ends[1] + 0.12 * span, ends[1] + 0.2 * span)
    low, high, ceiling, top = (float(10**place if logarithmic else place) for place in places)
    return Scale(logarithmic, (low, high), ceiling, (low, top), float(10**limit if logarithmic else sign * limit))


def shortened(name: str, length: int) -> str:
    """A name in at most so many characters.

    >>> shortened("momentum", 8), shortened("momentum", 5)
    ('momentum', 'mome…')
    """
    return name if len(name) <= length else f"{name[: length - 1]}…"


def shown_number(value: float) -> str:
    """Four significant digits.

    >>> shown_number(0.00123456), shown_number(12345.0), shown_number(float("nan"))
    ('0.001235', '1.234e+04', 'not a number')
    """
    return f"{value:.4g}" if math.isfinite(value) else "not a number"
