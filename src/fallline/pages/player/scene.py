"""What a descent player shows: a piece of landscape with trajectories on it, and where they lie on its map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fallline.pages.player.shapes import finite_grid

if TYPE_CHECKING:
    from fallline.landscape import Ending, Path, Point, Surface, View


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

    @property
    def shape(self) -> float:
        """How high its map is, in widths."""
        if self.dimensions == 1:
            return 0.5
        (left, right), (bottom, top) = self.view
        return min(1.0, max(0.5, (top - bottom) / (right - left)))


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


#: The map is this many units wide; it is half as high at the least, as high at the most.
WIDTH = 2000
#: Points further than this many widths from the middle are drawn nearer, in the same direction.
_FAR = 3


@dataclass(frozen=True)
class Map:
    """The box, and the numbers that its edges stand for."""

    left: float
    right: float
    bottom: float
    top: float
    height: int
    dimensions: int
    width: int = WIDTH

    @property
    def scale(self) -> NDArray[np.float64]:
        """Units per 1 along x and along y."""
        return np.array([WIDTH / (self.right - self.left), -self.height / (self.top - self.bottom)])

    def units(self, points: ArrayLike, losses: ArrayLike) -> NDArray[np.float64]:
        """Where points [n, 2] lie; in one dimension a point's height is its loss."""
        places = np.array(points, np.float64).reshape(-1, 2)
        if self.dimensions == 1:
            places[:, 1] = losses
        middle = np.array([WIDTH, self.height]) / 2
        with np.errstate(over="ignore"):
            away = np.clip((places - [self.left, self.top]) * self.scale - middle, -1e9, 1e9)
        far = np.abs(away).max(1, keepdims=True, initial=0)
        return np.asarray(middle + away * np.minimum(1, _FAR * WIDTH / np.maximum(far, 1)), np.float64)

    def shows(self, units: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether each of these places [n, 2] is on the map, its edges included."""
        return np.asarray(((units >= 0) & (units <= [WIDTH, self.height])).all(1))

    def directions(self, vectors: NDArray[np.float64]) -> list[int | None]:
        """Whole degrees, clockwise from the right, in which vectors [n, 2] point on the map; None where nowhere."""
        with np.errstate(over="ignore"):
            drawn = vectors * self.scale
        if self.dimensions == 1:
            drawn[:, 1] = 0
        degrees = np.rint(np.degrees(np.arctan2(drawn[:, 1], drawn[:, 0])))
        somewhere = np.isfinite(drawn).all(1) & (drawn != 0).any(1)
        return [int(angle) if points else None for angle, points in zip(degrees, somewhere, strict=True)]


def map_of(scene: Scene) -> Map:
    """The map of a scene; one of one dimension is as high as its curve."""
    (left, right), (bottom, top) = scene.view
    if scene.dimensions == 1:
        curve = np.asarray(scene.heights)[0]
        lowest, highest = np.nanmin(curve), np.nanmax(curve)
        margin = 0.08 * (highest - lowest) or 1.0
        return Map(left, right, float(lowest - margin), float(highest + margin), round(WIDTH * scene.shape), 1)
    return Map(left, right, bottom, top, round(WIDTH * scene.shape), 2)


def ticks(low: float, high: float) -> list[float]:
    """A few round numbers between two ends.

    >>> ticks(-2.5, 2.5)
    [-2.0, -1.0, 0.0, 1.0, 2.0]
    """
    rough = (high - low) / 5
    power = 10.0 ** np.floor(np.log10(rough))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    return [float(round(step * count, 12)) for count in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1)]


@dataclass(frozen=True)
class Label:
    """Text beside a place given in parts of the box: `shift` pixels down from it, to its right or to its left."""

    text: str
    x: float
    y: float
    shift: float
    on_the_right: bool


def labels(texts: Sequence[str], places: Sequence[Point], line: float = 16.0) -> list[Label]:
    """Labels beside places in parts of the box; those of places close together are one stack, `line` pixels apart.

    >>> [(label.y, label.shift) for label in labels(["sgd", "adam"], [(0.5, 0.48), (0.5, 0.52)])]
    [(0.5, -8.0), (0.5, 8.0)]
    """
    order = sorted(range(len(texts)), key=lambda index: places[index][1])
    stacks: list[list[int]] = []
    for index in order:
        near = (stack for stack in stacks if any(_close(places[other], places[index]) for other in stack))
        stack = next(near, None)
        if stack is None:
            stacks.append(stack := [])
        stack.append(index)
    found: dict[int, Label] = {}
    for stack in stacks:
        x, y = (sum(places[index][axis] for index in stack) / len(stack) for axis in (0, 1))
        # A stack hangs from a place near the top and stands on one near the bottom.
        first = -(len(stack) - 1) * line * min(1.0, max(0.0, (y - 0.15) / 0.7))
        for row, index in enumerate(stack):
            found[index] = Label(texts[index], x, y, first + row * line, x < 0.6)
    return [found[index] for index in range(len(texts))]


def _close(one: Point, other: Point) -> bool:
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) < 0.1
