"""The charts of a race: each is a record first, then drawn: by Plotly and as SVG in a page, by Matplotlib in a file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fallline._asked import did_you_mean, number
from fallline._text import listed
from fallline.pages.charts.picture import CHARTS, Axis, Picture
from fallline.pages.charts.race_data import RaceData, read_race

# isort: off
# Each enters its charts in the list, in this order.
from fallline.pages.charts.decision import distance_pictures as distance_pictures
from fallline.pages.charts.leaderboard import leaderboard_pictures as leaderboard_pictures
from fallline.pages.charts.curves import curves_pictures as curves_pictures
from fallline.pages.charts.trials import searched_pictures as searched_pictures

__all__ = ["CHARTS", "FIGURES", "Figure", "figure"]

FIGURES = tuple(CHARTS)
_FILES = ("png", "svg", "pdf")


@dataclass(frozen=True, eq=False)
class Figure:
    """Pictures side by side, `width` inches in all, which `write` puts into a file."""

    pictures: tuple[Picture, ...]
    x: str | None = None
    width: float | None = None

    def write(self, path: str | Path) -> None:
        """Write the figure; the path's ending, .png, .svg or .pdf, says as what.

        Raises ValueError for another ending and OSError where nothing can be written.
        """
        from fallline.pages.charts.renderers import drawn

        kind = Path(path).suffix.removeprefix(".").lower()
        if kind not in _FILES:
            raise ValueError(f"path: a figure is written as {', '.join(_FILES)}; '{path}' ends in none of these.")
        Path(path).write_bytes(drawn(self.pictures, kind, x=self.x, width=self.width))


def figure(
    data: Mapping[str, Any],
    kind: str,
    *,
    x: str = "steps",
    arms: Sequence[str] | None = None,
    limits: Mapping[str, tuple[float, float]] | None = None,
    width: float | None = None,
    runs: bool = False,
) -> Figure:
    """A figure of a race, from the plain data that `RaceResult.to_json` gives.

    `kind` is "distance" (of each arm from the best), "speed" (each arm's steps and time over those of the arm to
    take), "leaderboard" (test scores of the finals), "curves" (training and validation, with `x` "steps", "samples" or
    "seconds"), "sensitivity" (validation score against learning rate) or "searched" (validation score against whatever
    else was searched). The others are as for `RaceResult.figure`.

    Raises ValueError, in a sentence, for another kind, axis or arm, for limits and widths that can't be, for data that
    are no race's, and where the race has nothing to show of that kind.

    >>> figure({}, "pie")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: kind must be one of distance, ...; got 'pie'.
    """
    if kind not in FIGURES:
        raise ValueError(f"kind must be one of {', '.join(FIGURES)}; got {kind!r}.")
    chart = CHARTS[kind]
    if width is not None:
        width = number("width", width, above=0)
    pictures = chart.pictures(_with(read_race(data), arms))
    pictures = tuple(_within(one if runs else one.medians(), limits or {}) for one in pictures)
    if not pictures:
        raise ValueError(f"kind: there is no figure '{kind}', since {chart.lacking}.")
    labels = {label for one in pictures for label in _labels(one)}
    if unknown := [label for label in limits or {} if label not in labels]:
        raise ValueError(f"limits: no axis is called {unknown[0]!r}; there are {listed(sorted(labels))}.")
    if len(pictures[0].x) == 1:
        return Figure(pictures, width=width)
    if x not in pictures[0].x:
        raise ValueError(f"x must be one of {', '.join(pictures[0].x)}; got {x!r}.")
    return Figure(pictures, x, width)


def _with(race: RaceData, arms: Sequence[str] | None) -> RaceData:
    """The race with these arms alone, in this order."""
    if arms is None:
        return race
    found = {arm.name: arm for arm in race.arms}
    wanted = list(dict.fromkeys([arms] if isinstance(arms, str) else arms))
    if not wanted:
        raise ValueError(f"arms: name at least one of {listed(list(found))}.")
    for name in wanted:
        if name not in found:
            raise ValueError(f"arms: there is no arm {name!r} in this race; {did_you_mean(name, found)}")
    return replace(race, arms=tuple(found[name] for name in wanted))


def _labels(picture: Picture) -> set[str]:
    return {axis.label for axis in (*picture.x.values(), picture.y) if axis.label}


def _within(picture: Picture, limits: Mapping[str, tuple[float, float]]) -> Picture:
    """The picture with these limits of its axes, by their labels."""

    def cut(axis: Axis) -> Axis:
        if axis.label not in limits:
            return axis
        ends = [number(f"limits of {axis.label}", end, -math.inf) for end in limits[axis.label]]
        if len(ends) != 2 or ends[0] >= ends[1] or (axis.logarithmic and ends[0] <= 0):
            above = " above 0" if axis.logarithmic else ""
            raise ValueError(
                f"limits of {axis.label} must be two numbers{above}, the lower one first; got {limits[axis.label]!r}."
            )
        return replace(axis, view=(ends[0], ends[1]))

    return replace(picture, x={name: cut(axis) for name, axis in picture.x.items()}, y=cut(picture.y))
