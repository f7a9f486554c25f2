"""The charts of a race: each is a record first, then drawn: by Plotly and as SVG in a page, by Matplotlib in a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fallline.pages.charts.picture import CHARTS, Picture
from fallline.pages.charts.race_data import read_race

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
    """Pictures side by side, which `write` puts into a file."""

    pictures: tuple[Picture, ...]
    x: str | None = None

    def write(self, path: str | Path) -> None:
        """Write the figure; the path's ending, .png, .svg or .pdf, says as what.

        Raises ValueError for another ending and OSError where nothing can be written.
        """
        from fallline.pages.charts.renderers import drawn

        kind = Path(path).suffix.removeprefix(".").lower()
        if kind not in _FILES:
            raise ValueError(f"path: a figure is written as {', '.join(_FILES)}; '{path}' ends in none of these.")
        Path(path).write_bytes(drawn(self.pictures, kind, x=self.x))


def figure(data: Mapping[str, Any], kind: str, *, x: str = "steps") -> Figure:
    """A figure of a race, from the plain data that `RaceResult.to_json` gives.

    `kind` is "distance" (of each arm from the best), "speed" (each arm's steps and time over those of the arm to
    take), "leaderboard" (test scores of the finals), "curves" (training and validation, with `x` "steps", "samples" or
    "seconds"), "sensitivity" (validation score against learning rate) or "searched" (validation score against whatever
    else was searched).

    Raises ValueError, in a sentence, for another kind or axis, for data that are no race's, and where the race has
    nothing to show of that kind.

    >>> figure({}, "pie")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: kind must be one of distance, ...; got 'pie'.
    """
    if kind not in FIGURES:
        raise ValueError(f"kind must be one of {', '.join(FIGURES)}; got {kind!r}.")
    chart = CHARTS[kind]
    pictures = chart.pictures(read_race(data))
    if not pictures:
        raise ValueError(f"kind: there is no figure '{kind}', since {chart.lacking}.")
    if len(pictures[0].x) == 1:
        return Figure(pictures)
    if x not in pictures[0].x:
        raise ValueError(f"x must be one of {', '.join(pictures[0].x)}; got {x!r}.")
    return Figure(pictures, x)
