"""Contours of a grid and lines of charts as the data of SVG paths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: How many levels part the bands.
LEVELS = 11


@dataclass(frozen=True, eq=False)
class Contours:
    """`levels` are the heights at the bands' edges, rising by one factor above `lowest`, the lowest height of all.

    `regions[0]` is SVG path data of all that has a height, `regions[i]` of what is higher than `levels[i - 1]`: drawn
    in turn, each over the last, they show the bands without seams. `fractions` are the heights [rows, columns] on the
    scale of the bands, which are equally wide there, from 0 to 1; NaN where there is no height.
    """

    lowest: float
    levels: tuple[float, ...]
    regions: tuple[str, ...]
    fractions: NDArray[np.float64]

    @property
    def has_holes(self) -> bool:
        """Whether there are places without a height."""
        return bool(np.isnan(self.fractions).any())


def contours(heights: ArrayLike, width: int, height: int) -> Contours:
    """Draw the bands of heights [rows, columns], rows from the lowest y up, into a box of `width` by `height` units.

    The levels are evenly spaced on a logarithmic scale of the height above the lowest, between its quantiles at 0.2 %
    and 98 %: so a valley's floor shows beside walls a million times higher. What isn't finite is left out.

    Raises ValueError unless heights are at least 2 by 2, some of them finite.

    >>> slope = contours([[0.0, 10.0, 100.0], [0.0, 10.0, 100.0]], 200, 100)
    >>> slope.lowest, slope.levels[0], slope.levels[-1], slope.regions[0]
    (0.0, 10.0, 100.0, 'M0 100l200 0 0-100-200 0z')
    """
    from contourpy import FillType, contour_generator

    grid = finite_grid(heights)
    lowest, levels = float(grid.min()), _levels(grid)
    rows, columns = grid.shape
    across, up = np.linspace(0, width, columns), np.linspace(height, 0, rows)
    generator = contour_generator(across, up, grid, fill_type=FillType.OuterOffset)
    regions = tuple(_path_data(*generator.filled(low, np.inf)) for low in (-np.inf, *levels))
    return Contours(lowest, levels, regions, _fractions(grid, lowest, levels))


def finite_grid(heights: ArrayLike) -> np.ma.MaskedArray:
    """Heights [rows, columns] with a mask over what isn't finite; ValueError if nothing can be drawn of them."""
    grid = np.ma.masked_invalid(np.asarray(heights, np.float64))
    if grid.ndim != 2 or min(grid.shape) < 2 or not grid.count():
        raise ValueError(
            f"heights must be at least 2 rows of 2 columns, some of them finite; got {grid.count()} finite numbers of "
            f"shape {grid.shape}."
        )
    return grid


def _levels(grid: np.ma.MaskedArray) -> tuple[float, ...]:
    lowest = grid.min()
    above = grid.compressed() - lowest
    positive = above[above > 0]
    if not len(positive):
        return ()
    low, high = np.quantile(above, [0.002, 0.98])
    low = max(low, positive.min())
    if high <= low:
        return (float(lowest + low),)
    return tuple((lowest + np.geomspace(low, high, LEVELS)).tolist())


def _fractions(grid: np.ma.MaskedArray, lowest: float, levels: tuple[float, ...]) -> NDArray[np.float64]:
    bands = len(levels) + 1
    with np.errstate(divide="ignore"):
        logarithms = np.log(np.ma.filled(grid, np.nan) - lowest)
        edges = np.log(np.array(levels) - lowest)
    if bands < 3:  # no two levels to measure by
        return np.where(np.isnan(logarithms), np.nan, 0.0)
    position = (logarithms - edges[0]) / (edges[-1] - edges[0]) * (len(levels) - 1) + 1
    return np.asarray(np.clip(position / bands, 0, 1), np.float64)


def _path_data(polygons: list[NDArray[np.float64]], offsets: list[NDArray[np.uint32]]) -> str:
    """Each polygon's rings, the outer one first; what is inside two of them is a hole (fill-rule: evenodd)."""
    rings = (points[start:end] for points, ends in zip(polygons, offsets, strict=True) for start, end in pairwise(ends))
    return "".join(outline(ring, closed=True) for ring in rings)


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
        series = [np.log(np.maximum(values, bottom / 10)) for values in series]
    low, high = (np.log(bottom), np.log(top)) if logarithmic else (bottom, top)
    lines = tuple(_line(values, low, high, steps) for values in series)
    scale = f"{'log' if logarithmic else 'linear'} scale" + (f"; {note}" if note else "")
    return Chart(f"{what} ({scale})", lines, top, bottom)


def _line(values: NDArray[np.float64], bottom: float, top: float, steps: int) -> str:
    x = np.arange(len(values)) * (WIDTH / max(steps, 1))
    part = (values - bottom) / (top - bottom) if top > bottom else np.where(np.isfinite(values), 0.5, np.nan)
    y = HEIGHT * (1 - np.minimum(part, 1.2))  # what is higher is cut off by the box
    finite = np.isfinite(y)
    runs = np.split(np.arange(len(y)), np.flatnonzero(np.diff(finite)) + 1)
    return "".join(outline(np.c_[x[run], y[run]]) for run in runs if len(run) and finite[run[0]])


def outline(points: ArrayLike, *, closed: bool = False) -> str:
    """Path data through points [n, 2] in the drawing's units; "" for less than two different points.

    >>> outline([[0, 0], [5, 0], [10, 0], [10, 10.2]])
    'M0 0l10 0 0 10'
    >>> outline([[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]], closed=True)
    'M0 0l10 0 0 10-10 0z'
    """
    whole = np.rint(np.asarray(points, np.float64)).astype(np.int64).reshape(-1, 2)
    moves = np.diff(whole, axis=0)
    kept = whole[np.r_[True, (moves != 0).any(1)]]
    if len(kept) > 2:
        before, after = np.diff(kept[:-1], axis=0), np.diff(kept[1:], axis=0)
        straight = (before[:, 0] * after[:, 1] == before[:, 1] * after[:, 0]) & ((before * after).sum(1) > 0)
        kept = kept[np.r_[True, ~straight, True]]
    if closed and (kept[0] == kept[-1]).all():
        kept = kept[:-1]  # z draws the last line
    if len(kept) < 2:
        return ""
    x, y = kept[0].tolist()
    # A minus sign parts two numbers as well as a space does.
    moved = " ".join(map(str, np.diff(kept, axis=0).ravel().tolist())).replace(" -", "-")
    return f"M{x} {y}l{moved}" + ("z" if closed else "")
