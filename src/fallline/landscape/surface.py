"""A test surface: a function of two coordinates, the part of it to look at, and what it teaches."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fallline.landscape.calculus import derivatives_of

Point = tuple[float, float]
View = tuple[tuple[float, float], tuple[float, float]]
#: What becomes of a path: it reaches a minimum of the surface, rests elsewhere, leaves the map, or goes on moving.
Ending = Literal["reached", "trapped", "left", "moving"]


@dataclass(frozen=True, eq=False)
class Demonstration:
    """A learning rate that makes a point: a method by name, its rate, and what becomes of its path.

    Attributes:
        method: The rule's name.
        lr: The learning rate.
        ending: What becomes of the path, in one word.
        place: The minimum that it reaches or the point where it rests; None where nothing is claimed.
        step: The first step from which on it stays within 0.05 of it; None where nothing is claimed.
        start: Where it begins, if not at the surface's own start.
        hyperparameters: The rule's, where they are not its defaults.
    """

    method: str
    lr: float
    ending: Ending
    place: Point | None = None
    step: int | None = None
    start: Point | None = None
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Surface:
    """A function to descend on, of two coordinates.

    Args:
        name: What it is called.
        function: `function(x, y)` takes torch tensors or NumPy arrays of one shape and returns theirs; it is written
            with operators and the functions of `fallline.landscape` (exp, log, cos, sin, sqrt), or with torch's if it
            is for tensors alone.
        view: ((lowest x, highest x), (lowest y, highest y)), the part to look at.
        start: Where paths begin.
        minima: The points to be reached, mostly the lowest of all.
        steps: How many steps paths take.
        teaches: What there is to see on it, in a sentence.
        demonstrations: Learning rates that make a point on it.
        dimensions: 2, or 1 where y plays no part.

    Raises:
        TypeError, ValueError: It can't be a surface; the sentence names the argument.

    >>> bowl = Surface("bowl", lambda x, y: x**2 + y**2, view=((-2, 2), (-2, 2)), start=(1, 1), minima=((0, 0),))
    >>> bowl(np.array([0.0, 1.0]), np.array([1.0, 1.0])).tolist()
    [1.0, 2.0]
    >>> bowl.gradient(1.0, 0.5), bowl.curvatures(1.0, 0.5)
    ((2.0, 1.0), (2.0, 2.0))
    """

    name: str
    function: Callable[[Any, Any], Any]
    view: View
    start: Point
    minima: tuple[Point, ...] = ()
    steps: int = 200
    teaches: str = ""
    demonstrations: tuple[Demonstration, ...] = ()
    dimensions: int = 2

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise TypeError(f"function must be a function of x and y; got {type(self.function).__name__}.")
        for axis, ends in zip("xy", self.view, strict=True):
            low, high = ends
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ValueError(f"view: {axis} runs from {low} to {high}; give finite numbers, the lower one first.")
        for what, point in (("start", self.start), *(("minima", minimum) for minimum in self.minima)):
            if not self.shows(point):
                raise ValueError(f"{what}: {point} is outside the view {self.view}; move it, or make the view wider.")
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1; got {self.steps}.")

    def __call__(self, x: Any, y: Any) -> Any:
        """The function's value at (x, y), for each element of arrays or tensors of one shape."""
        return self.function(x, y)

    def heights(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """The function's values in float64, for functions that know only tensors too.

        Args:
            x: Numbers, of any shape.
            y: Numbers of the same shape.
        """
        import torch

        x, y = (torch.from_numpy(np.array(values, np.float64)) for values in (x, y))
        return np.asarray(torch.as_tensor(self.function(x, y)).expand(x.shape).numpy(), np.float64)

    def gradient(self, x: float, y: float) -> Point:
        """The slopes along x and y at one point.

        Args:
            x: Its first coordinate.
            y: Its second coordinate.
        """
        _, slope_x, slope_y = derivatives_of(self.function).slope(x, y)
        return slope_x, slope_y

    def curvatures(self, x: float, y: float) -> Point:
        """The lowest and the highest curvature at one point: the Hessian's eigenvalues; NaN where there is none.

        Args:
            x: Its first coordinate.
            y: Its second coordinate.
        """
        xx, xy, yy = derivatives_of(self.function).hessian(x, y)
        middle, radius = (xx + yy) / 2, math.hypot((xx - yy) / 2, xy)
        return middle - radius, middle + radius

    def javascript(self) -> str:
        """The source of an ES module with the surface: its numbers, and functions of its height and derivatives.

        Its default export has `name`, `dimensions`, `view`, `start`, `minima` and `steps`; `slope(x, y)` gives the
        height and the slopes along x and y, `hessian(x, y)` the second derivatives by xx, xy and yy, both as arrays of
        three numbers: NaN where there is none, or one is too large for double precision.

        Raises:
            TypeError: The function can't be written as one formula.

        >>> bowl = Surface("bowl", lambda x, y: x**2 + y**2, view=((-2, 2), (-2, 2)), start=(1, 1), steps=9)
        >>> print(bowl.javascript().rstrip())
        // x**2 + y**2
        export default {
          name: "bowl",
          dimensions: 2,
          view: [[-2, 2], [-2, 2]],
          start: [1, 1],
          minima: [],
          steps: 9,
          slope(x, y) {
            const found = [Math.pow(x, 2) + Math.pow(y, 2), 2*x, 2*y];
            return found.every(Number.isFinite) ? found : [NaN, NaN, NaN];
          },
          hessian(x, y) {
            const found = [2, 0, 2];
            return found.every(Number.isFinite) ? found : [NaN, NaN, NaN];
          },
        };
        """
        from fallline.landscape.javascript import module

        return module(self.function, self.told)

    @property
    def told(self) -> dict[str, Any]:
        """What a page is told of it, as plain data."""
        return {name: getattr(self, name) for name in ("name", "dimensions", "view", "start", "minima", "steps")}

    def shows(self, point: Point) -> bool:
        """Whether a point lies in the view, its edges included.

        Args:
            point: Its coordinates (x, y).
        """
        return all(low <= value <= high for value, (low, high) in zip(point, self.view, strict=True))
