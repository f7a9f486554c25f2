"""The lowest points of a surface that nobody has told the minima of."""

from __future__ import annotations

import numpy as np

from fallline.landscape import Surface
from fallline.landscape.derivatives import derivatives_of
from fallline.landscape.surface import Point

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
    rows, columns = middle.shape
    hollow = np.isfinite(middle)
    for up in range(3):
        for along in range(3):
            hollow &= middle <= heights[up : up + rows, along : along + columns]
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
