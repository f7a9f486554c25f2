"""What a descent player shows: a piece of landscape and the trajectories on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fallline.pages.player.contours import finite_grid

if TYPE_CHECKING:  # the script and the stylesheet are asked for before torch is there
    from fallline.landscape import Path, Surface
    from fallline.landscape.surface import Ending, Point, View

Array = NDArray[np.float64]

#: Rows and columns of the grid that a surface's heights are taken on, and the columns where there is one dimension.
GRID, CURVE = 181, 1001


@dataclass(frozen=True, eq=False)
class Trajectory:
    """One optimizer's way: `points` [steps + 1, 2] and `losses` [steps + 1], up to the first that isn't finite.

    `gradients` and `momentum` [steps + 1, 2] are shown as arrows the other way, where they lead; `effective_rates`
    [steps, 2] are what each coordinate's gradient was multiplied by in each step. `outcome` says what became of it,
    `ending` in one word, `outcome_step` from which step on. `colour` and `dash` count from 0 in the player's palette
    and its dash patterns; None takes the next of each.

    Raises ValueError, naming the argument, for shapes that don't fit and a start that isn't finite.
    """

    name: str
    points: ArrayLike
    losses: ArrayLike
    learning_rate: float | None = None
    gradients: ArrayLike | None = None
    momentum: ArrayLike | None = None
    effective_rates: ArrayLike | None = None
    ending: Ending = "moving"
    outcome: str = ""
    outcome_step: int | None = None
    colour: int | None = None
    dash: int | None = None

    def __post_init__(self) -> None:
        rows = len(np.atleast_1d(self.losses))
        shapes = {"points": (rows, 2), "losses": (rows,), "gradients": (rows, 2), "momentum": (rows, 2)}
        for name, shape in (shapes | {"effective_rates": (rows - 1, 2)}).items():
            value = getattr(self, name)
            if value is None:
                continue
            array = np.asarray(value, np.float64)
            if array.shape != shape:
                raise ValueError(f"{name} of {self.name!r} must have shape {shape}, as losses do; got {array.shape}.")
            object.__setattr__(self, name, array)
        if not rows or not np.isfinite(self.points[0]).all():  # type: ignore[index]
            raise ValueError(f"points of {self.name!r} must begin at two finite numbers.")


@dataclass(frozen=True, eq=False)
class Scene:
    """Heights [rows, columns], evenly spaced over `view` with the lowest y first, and trajectories on them.

    `view` is ((lowest x, highest x), (lowest y, highest y)), `axes` what x and y are called. With `start_movable` the
    page may move the start. With `dimensions` 1, y plays no part: the heights' first row is drawn as a curve.

    Raises ValueError, naming the argument, for a view, heights or points that can't be drawn.
    """

    title: str
    view: View
    heights: ArrayLike
    trajectories: Sequence[Trajectory] = ()
    minima: Sequence[Point] = ()
    start: Point | None = None
    start_movable: bool = False
    axes: tuple[str, str] = ("x", "y")
    dimensions: int = 2

    def __post_init__(self) -> None:
        for axis, (low, high) in zip(self.axes, self.view, strict=True):
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ValueError(f"view: {axis} runs from {low} to {high}; give finite numbers, the lower one first.")
        if self.start_movable and self.start is None:
            raise ValueError("start must be given where start_movable is True.")
        object.__setattr__(self, "heights", finite_grid(self.heights).filled(np.nan))


def scene_of(surface: Surface, paths: Sequence[Path], *, title: str = "", start_movable: bool = False) -> Scene:
    """The scene of a test surface and paths on it; they are named by their rules.

    >>> from fallline.landscape import path, surfaces
    >>> scene = scene_of(surfaces.ravine, [path(surfaces.ravine, "adam", lr=0.2)])
    >>> scene.title, scene.trajectories[0].outcome
    ('ravine', 'reached (0, 0) at step 77')
    """
    sizes = (GRID, GRID) if surface.dimensions == 2 else (CURVE, 2)
    x, y = np.meshgrid(*(np.linspace(*ends, size) for ends, size in zip(surface.view, sizes, strict=True)))
    return Scene(
        title or surface.name,
        surface.view,
        surface.heights(x, y),
        [trajectory_of(path) for path in paths],
        surface.minima,
        tuple(paths[0].points[0].tolist()) if paths else surface.start,
        start_movable,
        dimensions=surface.dimensions,
    )


def trajectory_of(path: Path, name: str = "", *, colour: int | None = None, dash: int | None = None) -> Trajectory:
    """A path on a surface as the player shows it, called by its rule unless a name is given."""
    rule, hyperparameters, outcome = path.rule, path.hyperparameters, path.outcome
    return Trajectory(
        name or rule.name.replace("_", " "),
        path.points,
        path.losses,
        hyperparameters.get("lr"),
        path.gradients,
        _momentum(rule.name, path.states),
        path.effective_rates,
        outcome.ending,
        outcome.sentence,
        outcome.step,
        colour,
        dash,
    )


def _momentum(rule: str, states: dict[str, Array]) -> Array | None:
    """The state that gathers gradients: rules call it m or b; a velocity v points the way it goes, not the other."""
    if rule.startswith("velocity"):
        return -states["v"]
    return next((states[name] for name in ("m", "b") if name in states), None)
