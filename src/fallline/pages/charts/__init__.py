"""The charts of a race: each is computed as a record, then drawn, in a page by Plotly and still by Matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fallline.pages.charts.curves import curves, curves_picture, quantities
from fallline.pages.charts.leaderboard import finals, finals_picture
from fallline.pages.charts.picture import Picture
from fallline.pages.charts.race_data import RaceData, read_race
from fallline.pages.charts.trials import budget, budget_picture, dimensions, searched, searched_picture

__all__ = ["FIGURES", "Figure", "figure"]

FIGURES = ("leaderboard", "curves", "sensitivity", "budget", "searched")
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

    `kind` is "leaderboard" (test scores of the finals), "curves" (training and validation, with `x` "steps",
    "samples" or "seconds"), "sensitivity" (validation score against learning rate), "budget" (expected best of k
    trials) or "searched" (validation score against whatever else was searched).

    Raises ValueError, in a sentence, for another kind or axis, for data that are no race's, and where the race has
    nothing to show of that kind.

    >>> figure({}, "pie")
    Traceback (most recent call last):
    ValueError: kind must be one of leaderboard, curves, sensitivity, budget, searched; got 'pie'.
    """
    if kind not in FIGURES:
        raise ValueError(f"kind must be one of {', '.join(FIGURES)}; got {kind!r}.")
    race = read_race(data)
    if kind != "curves":
        return Figure(_pictures(race, kind))
    drawings = _pictures(race, kind)
    if x not in drawings[0].x:
        raise ValueError(f"x must be one of {', '.join(drawings[0].x)}; got {x!r}.")
    return Figure(drawings, x)


def _pictures(race: RaceData, kind: str) -> tuple[Picture, ...]:
    if kind == "leaderboard":
        return (finals_picture(finals(race)),)
    if kind == "budget":
        return (budget_picture(budget(race)),)
    if kind == "curves":
        return tuple(curves_picture(curves(race, what)) for what in quantities(race))
    names = [name for name in dimensions(race) if (name == "lr") == (kind == "sensitivity")]
    if not names:
        what = "no learning rate" if kind == "sensitivity" else "nothing but learning rates"
        raise ValueError(f"kind: there is no figure '{kind}', since {what} was searched in this race.")
    return tuple(searched_picture(searched(race, name)) for name in names)
