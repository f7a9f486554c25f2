"""A chart, computed and not yet drawn: axes, marks, key and table. The page and the still figures draw the same one."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fallline._text import counted
from fallline.pages.charts.race_data import RaceData

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
    on the scale; `upright` is a place on the first axis that a line marks, and what it is. `notes` say what the chart
    alone does not.
    """

    title: str
    x: Mapping[str, Axis]
    y: Axis
    marks: tuple[Mark, ...]
    key: Mapping[int, str]
    table: Table
    ceiling: float | None = None
    notes: tuple[str, ...] = ()
    upright: tuple[float, str] | None = None

    def has(self, arm: int, kind: Kind) -> bool:
        """Whether there is a mark of this kind for the arm."""
        return any(mark.arm == arm and mark.kind == kind for mark in self.marks)

    def medians(self) -> Picture:
        """The picture without the single runs behind medians."""
        return replace(self, marks=tuple(mark for mark in self.marks if mark.kind != "faint"))

    def of(self, arms: Collection[int]) -> Picture:
        """The picture with these arms alone."""
        key = {arm: label for arm, label in self.key.items() if arm in arms}
        return replace(self, marks=tuple(mark for mark in self.marks if mark.arm in arms), key=key)


Draw = Callable[[RaceData], tuple[Picture, ...]]


@dataclass(frozen=True)
class Chart:
    """A kind of chart: its `pictures` of a race, and what stands around them in the report.

    `kind` is what `figure` calls it; it stands in the `section` of that name, or in another kind's. `before` is a
    sentence there. Where a race has no pictures of it, that is since `lacking`.
    """

    kind: str
    heading: str
    pictures: Draw
    section: str
    before: str = ""
    lacking: str = ""


#: The charts that the report shows and `figure` writes, in the order in which `fallline.pages.charts` imports them.
CHARTS: dict[str, Chart] = {}


def charted(kind: str, heading: str, *, section: str = "", **said: str) -> Callable[[Draw], Draw]:
    """Enter the function below, which draws a race, into the list of charts; the rest is as for `Chart`."""

    def enter(pictures: Draw) -> Draw:
        CHARTS[kind] = Chart(kind, heading, pictures, section or kind, **said)
        return pictures

    return enter


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

    def shown(self, values: Array) -> Array:
        """The values, NaN where a logarithmic axis has no place for them."""
        return np.where(values > 0, values, np.nan) if self.logarithmic else values

    def cropped(self, scores: Array) -> Scale:
        """A linear scale for these scores alone, which are some of its own; a logarithmic one as it is."""
        low, high = self.view
        there = scores[(scores >= low) & (scores <= high)]
        if self.logarithmic or not len(there):
            return self
        span = float(np.ptp(there) or abs(there[0]) or 1.0)
        # What is off the scale stands on a line over the best scores and the worst ones alike.
        low, high = max(low, float(there.min()) - 0.06 * span), min(high, float(there.max()) + 0.06 * span)
        return replace(self, view=(low, high), ceiling=high + 0.06 * span, high_view=(low, high + 0.14 * span))

    def left_out(self, values: Array) -> tuple[str, ...]:
        """A note that counts the zeros that `shown` leaves out, if there are any."""
        zeros = int((values == 0).sum()) if self.logarithmic else 0
        return (f"Left out, as a logarithmic axis has no place for 0: {counted(zeros, 'value')}.",) if zeros else ()


def score_scale(scores: Array, untrained: float, *, higher_is_better: bool) -> Scale:
    """A scale on which the good scores can be told apart.

    It is logarithmic for losses that are never negative and, zeros aside, over more than one power of ten. Scores worse
    than the untrained model's by more than the best is better are off it, and so is what isn't finite.

    >>> score_scale(np.array([0.9, 0.5, -40.0]), 0.1, higher_is_better=True).limit
    -0.7...
    """
    finite = scores[np.isfinite(scores)]
    if not len(finite):
        return Scale(False, (0.0, 1.0), 1.0, (0.0, 1.1), math.nan)
    positive = finite[finite > 0]
    several_powers = len(positive) > 0 and positive.max() / 10 > positive.min()
    logarithmic = bool(not higher_is_better and finite.min() >= 0 and several_powers)
    sign = -1.0 if higher_is_better else 1.0
    losses = np.log10(positive) if logarithmic else sign * finite
    best, reference = losses.min(), losses.max()
    if math.isfinite(untrained) and (untrained > 0 or not logarithmic):
        reference = math.log10(untrained) if logarithmic else sign * untrained
    if reference <= best:
        reference = losses.max()
    limit = 2 * reference - best
    shown = losses[losses <= limit]
    ends = sorted(float(end) if logarithmic else sign * float(end) for end in (best, shown.max()))
    span = ends[1] - ends[0] or abs(ends[1]) or 1.0
    # Near the largest power of ten there is less room above, which is shared out.
    room = min(0.2 * span, sys.float_info.max_10_exp - ends[1]) if logarithmic else 0.2 * span
    places = (ends[0] - 0.06 * span, ends[1] + 0.3 * room, ends[1] + 0.6 * room, ends[1] + room)
    low, high, ceiling, top = (_power_of_ten(place) if logarithmic else float(place) for place in places)
    off = _power_of_ten(limit) if logarithmic else float(sign * limit)
    return Scale(logarithmic, (low, high), ceiling, (low, top), off)


def _power_of_ten(place: float) -> float:
    """Ten to the power, or the largest or smallest whole one that a float holds in full precision."""
    return math.pow(10, np.clip(place, sys.float_info.min_10_exp, sys.float_info.max_10_exp))


def shown_number(value: float) -> str:
    """Four significant digits.

    >>> shown_number(0.00123456), shown_number(12345.0), shown_number(float("nan"))
    ('0.001235', '1.234e+04', 'not a number')
    """
    return f"{value:.4g}" if math.isfinite(value) else "not a number"
