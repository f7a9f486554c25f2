"""What the decision says of each arm: how far it may be from the best, and how fast it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fallline._text import listed, shortened
from fallline.pages.charts.picture import Axis, Mark, Picture, Table, charted, shown_number
from fallline.pages.charts.race_data import RaceData, number

_LONGEST_NAME = 20
_ROOM = 0.04  # beside the intervals, as a share of what they take up


@dataclass(frozen=True)
class Row:
    """What is told of an arm: a value, NaN where it is not known, and the ends of its interval.

    The upper end is infinite where it is open; both ends are NaN for an arm of which nothing is told.
    """

    label: str
    value: float
    low: float
    high: float
    taken: bool


@charted("distance", "Distance from the best", lacking="no two arms of it can be compared")
def distance_pictures(race: RaceData) -> tuple[Picture, ...]:
    """A row for each arm, the one to take at the top: the interval of its distance from whichever arm is best."""
    ends = distances(race)
    if sum(one is not None for one in ends.values()) < 2:
        return ()
    rows = [
        Row(_name(race, arm.name), math.nan, *(ends.get(arm.name) or (math.nan, math.nan)), arm.name == race.taken)
        for arm in race.arms
    ]
    margin = number(race.decision["margin"])
    side = "below" if race.higher_is_better else "above"
    apart = [arm.name for arm in race.arms if ends.get(arm.name) is None]
    notes = (
        "With 95 % confidence every arm lies within its line, for all arms at once. One whose line "
        f"begins to the right of {f'the margin, {margin:.3g},' if margin else '0'} is behind for certain.",
        *([f"Not compared, as runs diverged: {listed(apart)}."] if apart else ()),
    )
    axis = Axis(f"test {race.metric} {side} the best", view=_view(rows, [0.0, margin]))
    columns = ("arm", "least distance", "greatest distance")
    table = Table(columns, tuple((row.label, *map(_told, (row.low, row.high))) for row in rows))
    upright = (margin, f"margin {margin:.3g}") if margin else (0.0, "the best")
    return (_rows_picture("Distance from the best", axis, rows, upright, table, notes),)


@charted("speed", "speed", section="distance", lacking="no steps to a level that its leading arms share are told")
def speed_pictures(race: RaceData) -> tuple[Picture, ...]:
    """A row for each arm: its steps over those of the arm to take, and the same in time where that is told."""
    told = {"steps": race.decision["speed"], "time": race.decision.get("speed_seconds")}
    return tuple(_ratios(race, what, ratios) for what, ratios in told.items() if ratios and len(ratios) > 1)


def distances(race: RaceData) -> dict[str, tuple[float, float] | None]:
    """Each arm's least and greatest distance from the best; None for an arm that can't be compared."""
    found = race.decision["distances"] or {}
    return {name: None if ends is None else (number(ends[0]), _end(ends[1])) for name, ends in found.items()}


def speed_of(ratios: Mapping[str, Sequence[float | None]] | None, name: str) -> tuple[float, float, float]:
    """An arm's ratio, NaN where it is not known, and the ends of its interval, NaN where nothing is told of it."""
    if not ratios or name not in ratios:
        return math.nan, math.nan, math.nan
    ratio, low, high = ratios[name]
    return number(ratio), number(low), _end(high)


def _end(end: float | None) -> float:
    """An upper end, which None leaves open."""
    return math.inf if end is None else float(end)


def _ratios(race: RaceData, what: str, ratios: Mapping[str, Sequence[float | None]]) -> Picture:
    missed = race.decision.get("speed_missed") or {}
    rows = []
    for arm in race.arms:
        fallen = f", {missed[arm.name]} missed" if missed.get(arm.name) else ""
        rows.append(Row(_name(race, arm.name) + fallen, *speed_of(ratios, arm.name), arm.name == race.taken))
    level = race.decision.get("speed_level")
    notes = [
        f"{what.capitalize()}{'' if level is None else f' to a validation loss of {level:.3g}'}. Intervals are for all "
        "arms at once, paired by seed: one whose line is wholly to the right of 1 is slower for certain."
    ]
    if any(math.isinf(row.high) for row in rows):
        notes.append("A line to the right edge has an open end: too many runs missed that level.")
    columns = ("arm", "ratio", "low", "high")
    table = Table(columns, tuple((row.label, *map(_told, (row.value, row.low, row.high))) for row in rows))
    taken = shortened(str(race.taken), _LONGEST_NAME)
    axis = Axis(f"ratio to {taken}", logarithmic=True, view=_view(rows, [1.0], logarithmic=True))
    return _rows_picture(f"{what.capitalize()} against {taken}", axis, rows, (1.0, taken), table, tuple(notes))


def _name(race: RaceData, name: str) -> str:
    return f"{shortened(name, _LONGEST_NAME)}{' (take)' if name == race.taken else ''}"


def _view(rows: Sequence[Row], also: Sequence[float], *, logarithmic: bool = False) -> tuple[float, float]:
    """All finite ends and these places, with room beside them."""
    every = np.array([*also, *(end for row in rows for end in (row.value, row.low, row.high))])
    shown = every[np.isfinite(every) & ((every > 0) | (not logarithmic))]
    places = np.log10(shown) if logarithmic else shown
    room = _ROOM * float(np.ptp(places) or 1.0)
    low, high = float(places.min() - room), float(places.max() + room)
    return (10**low, 10**high) if logarithmic else (low, high)


def _rows_picture(
    title: str, axis: Axis, rows: Sequence[Row], upright: tuple[float, str], table: Table, notes: tuple[str, ...]
) -> Picture:
    """The first row at the top: a line for the interval, to the edge where it is open, dots for the value or its ends.

    The dots of the arm to take are full.
    """
    assert axis.view is not None
    marks: list[Mark] = []
    last = len(rows) - 1
    for arm, row in enumerate(rows):
        if math.isnan(row.low):
            continue
        ends, height = np.array([row.low, row.high]), float(last - arm)
        line = np.clip(ends, *axis.view)
        dots = np.array([row.value]) if math.isfinite(row.value) else ends[ends == line]
        marks.append(Mark("interval", arm, {"value": line}, np.full(2, height)))
        marks.append(Mark("dots" if row.taken else "hollow", arm, {"value": dots}, np.full(len(dots), height)))
    names = Axis("", ticks=tuple(row.label for row in reversed(rows)), view=(-0.6, last + 0.6))
    return Picture(title, {"value": axis}, names, tuple(marks), {}, table, upright=upright, notes=notes)


def _told(value: float) -> str:
    return "open" if math.isinf(value) else "not told" if math.isnan(value) else shown_number(value)
