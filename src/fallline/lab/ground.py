"""The surface that a request names or writes, as a thing that can be compared and kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fallline.lab.errors import RequestError
from fallline.lab.fields import Fields
from fallline.lab.lowest import lowest_points
from fallline.landscape import Surface, surfaces
from fallline.landscape.formula import Formula, FormulaError
from fallline.landscape.surface import Point, View

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
    ends = written.object("view") if isinstance(written.value("view"), dict) else None
    view = _view(written) if ends is None else (ends.point("x"), ends.point("y"))
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
