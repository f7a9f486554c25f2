"""The surface that a request names or writes, as a thing that can be compared and kept, with its minima."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from fallline.lab.requests import Fields, RequestError
from fallline.landscape import Formula, FormulaError, Point, Surface, View, derivatives_of, surfaces

#: The steepest ravine, by its condition number; the views and the heights that can be drawn in double precision.
_STEEPEST = 1e4
_NARROWEST, _WIDEST = 1e-5, 1e6
_FLATTEST, _HIGHEST = 1e-12, 1e50
YOURS = "your surface"


@dataclass(frozen=True)
class Ground:
    """A surface by its name or, where there is none of the name, by its formula; `formula` and `view` are its own."""

    name: str
    formula: str | None = None
    view: View | None = None

    @property
    def surface(self) -> Surface:
        """The surface; raises RequestError for a formula that makes none."""
        return _surface(self)


def read_ground(fields: Fields) -> Ground:
    """What a request's `surface` and `conditioning` say; raises RequestError. Only the ravine has a conditioning."""
    conditioning = fields.number("conditioning", 1, _STEEPEST, 50.0)
    if not isinstance(fields.value("surface"), dict):
        named = _named(fields.text("surface"))
        if named is surfaces.ravine and conditioning != 50:
            return Ground(named.name, f"(x**2 + {conditioning!r}*y**2)/2", named.view)
        return Ground(named.name)
    written = fields.object("surface")
    text = written.text("formula").strip()
    view = _view(written)
    written.done()
    return Ground(YOURS, text, view)


def _view(fields: Fields) -> View:
    value = fields.value("view")
    if not isinstance(value, list) or len(value) != 2:
        raise RequestError(422, "The field surface.view must be [[lowest x, highest x], [lowest y, highest y]].")
    ends = Fields({"x": value[0], "y": value[1]}, "surface.view")
    return ends.point("x"), ends.point("y")


def _named(name: str) -> Surface:
    try:
        return surfaces.find(name)
    except LookupError as error:
        raise RequestError(422, f"The field surface: {error.args[0]}.") from None


@lru_cache(maxsize=64)
def _surface(ground: Ground) -> Surface:
    if ground.formula is None or ground.view is None:
        return surfaces.find(ground.name)
    try:
        formula = Formula(ground.formula)
    except FormulaError as error:
        raise RequestError(422, f"The formula, {error}.") from None
    if ground.name == surfaces.ravine.name:
        return replace(surfaces.ravine, function=formula, demonstrations=())
    return _written(formula, ground.view)


def _written(formula: Formula, view: View) -> Surface:
    if not formula.uses:
        raise RequestError(422, "The formula names neither x nor y; a surface goes up and down with one of them.")
    dimensions = 2 if "y" in formula.uses else 1
    across, up = view if dimensions == 2 else (view[0], (-1.0, 1.0))
    start = _part_of(across, 0.2), _part_of(up, 0.8) if dimensions == 2 else 0.0
    try:
        surface = Surface(YOURS, formula, (across, up), start, dimensions=dimensions)
    except ValueError as error:
        raise RequestError(422, f"The field surface.{error}") from None
    for low, high in surface.view:
        if high - low > _WIDEST or high - low < _NARROWEST * max(1.0, abs(low)):
            raise RequestError(422, f"The field surface.view must be {_NARROWEST:g} to {_WIDEST:g} wide and high.")
    x, y = np.meshgrid(*(np.linspace(low, high, 41) for low, high in surface.view))
    heights = drawable(surface.heights(x, y))
    heights = heights[np.isfinite(heights)]
    if not len(heights):
        raise RequestError(422, f"The formula has no value up to {_HIGHEST:g} in the view; change one of them.")
    if np.ptp(heights) <= max(_FLATTEST * np.abs(heights).max(), 1 / _HIGHEST):
        raise RequestError(422, "The formula is level in the view; change one of them.")
    return replace(surface, minima=lowest_points(surface))


def drawable(heights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Heights with NaN for those that are too high, as beside a pole, to be drawn."""
    return np.where(np.abs(heights) <= _HIGHEST, heights, np.nan)


def _part_of(ends: Point, share: float) -> float:
    low, high = ends
    return low + share * (high - low)


_GRID, _MOST, _ROUNDS = 161, 12, 30


def lowest_points(surface: Surface) -> tuple[Point, ...]:
    """The lowest of the minima inside the view, found from a grid and Newton's method; none where there is none.

    >>> import fallline.landscape as fl
    >>> fl.surfaces.ravine.minima, lowest_points(fl.surfaces.ravine)
    (((0, 0),), ((0.0, 0.0),))
    """
    found = {}
    for point in _hollows(surface):
        minimum = _refined(surface, point)
        if minimum is not None:
            found[minimum] = float(surface.heights(*minimum))
    lowest = min(found.values(), default=0.0)
    # Minima of one height differ by rounding.
    return tuple(point for point, height in found.items() if height - lowest <= 1e-7 * max(1.0, abs(lowest)))


def _hollows(surface: Surface) -> list[Point]:
    """The points of a grid that none of their neighbours is lower than, the lowest first."""
    x, y = (np.linspace(low, high, _GRID) for low, high in surface.view)
    if surface.dimensions == 1:
        y = np.full(3, np.clip(0.0, *surface.view[1]))
    heights = surface.heights(*np.meshgrid(x, y))
    heights = np.where(np.isfinite(heights), heights, np.inf)
    middle = heights[1:-1, 1:-1]
    hollow = np.isfinite(middle) & (middle == sliding_window_view(heights, (3, 3)).min((2, 3)))
    places = sorted(np.argwhere(hollow).tolist(), key=lambda place: float(middle[place[0], place[1]]))
    return [(float(x[column + 1]), float(y[row + 1])) for row, column in places[:_MOST]]


def _refined(surface: Surface, point: Point) -> Point | None:
    """The minimum near a point of the grid, rounded to 9 decimals; None if Newton's method leads elsewhere."""
    derivatives, here = derivatives_of(surface.function), np.array(point)
    reach = np.array([3 * (high - low) / _GRID for low, high in surface.view])
    for _ in range(_ROUNDS):
        _, *slope = derivatives.slope(*here.tolist())
        xx, xy, yy = derivatives.hessian(*here.tolist())
        hessian = np.array([[xx, xy], [xy, yy]])
        if not (np.isfinite(hessian).all() and np.isfinite(slope).all()):
            return None
        with np.errstate(all="ignore"):
            here = here - np.linalg.pinv(hessian, hermitian=True) @ slope
        if not (np.abs(here - point) <= reach).all():
            return None
    minimum = (round(float(here[0]), 9) + 0.0, round(float(here[1]), 9) + 0.0)
    low, _ = surface.curvatures(*minimum)
    return minimum if low >= -1e-9 and surface.shows(minimum) else None
