"""What became of a path, found from its points alone and told in words, with the limit of stability that it broke."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fallline import rules
from fallline.landscape.calculus import derivatives_of
from fallline.landscape.surface import Ending, Point, Surface
from fallline.symbolic import Rule

Points = NDArray[np.float64]

#: How near counts as there, in the surface's own units.
NEAR = 0.05
_LAST = 20  # points before a path leaves the map, at which the curvature is looked at


@dataclass(frozen=True)
class Outcome:
    """What became of a path.

    Attributes:
        ending: In one word.
        sentence: In words.
        place: The minimum that was reached, or the point of rest.
        step: The step from which on it is there, or off the map.
    """

    ending: Ending
    sentence: str
    place: Point | None = None
    step: int | None = None


def outcome_of(
    surface: Surface, points: Points, rule: Rule, hyperparameters: Mapping[str, Any], rates: Points
) -> Outcome:
    """Judge the points [steps + 1, 2] of a path, NaN where it had run off to infinity; `rates` [steps] are its own."""
    for minimum in surface.minima:
        step = _for_good(_distance(points, minimum) <= NEAR)
        if step is not None:
            return Outcome("reached", f"reached {_written(minimum)} at step {step}", minimum, step)
    step = _for_good(np.array([not surface.shows((x, y)) for x, y in points]))
    if step is not None:
        last = slice(max(0, step - _LAST), step)
        reason = _over_the_limit(surface, points[last], rule, hyperparameters, rates[last])
        return Outcome("left", f"left the map at step {step}{reason}", step=step)
    end = (float(points[-1, 0]), float(points[-1, 1]))
    rest = _resting_place(surface, end)
    step = None if rest is None else _for_good(_distance(points, rest) <= NEAR)
    if rest is not None and step is not None and step < len(points) - 1:
        words = f"trapped at {_written(rest)}, {_kind(surface, rest)}, from step {step} on"
        return Outcome("trapped", words, rest, step)
    away = min((float(_distance(points[-1:], minimum)[0]) for minimum in surface.minima), default=None)
    how_far = "" if away is None else f", {away:.2g} from the nearest minimum"
    return Outcome("moving", f"still moving after {len(points) - 1} steps, at {_written(end)}{how_far}")


def _distance(points: Points, place: Point) -> Points:
    with np.errstate(over="ignore"):
        return np.asarray(np.hypot(*(points - place).T), np.float64)


def _for_good(holds: NDArray[np.bool_]) -> int | None:
    """The first step from which on something holds to the end."""
    broken = np.flatnonzero(~holds)
    first = int(broken[-1]) + 1 if len(broken) else 0
    return first if first < len(holds) else None


def _resting_place(surface: Surface, point: Point) -> Point | None:
    """The level point near this one, where one of Newton's steps leads; None where there is none so near."""
    derivatives = derivatives_of(surface.function)
    _, *slope = derivatives.slope(*point)
    xx, xy, yy = derivatives.hessian(*point)
    hessian = np.array([[xx, xy], [xy, yy]])
    if not np.isfinite(hessian).all():
        return None
    # Where the surface is level in a direction, as along y in one dimension, that direction is left alone.
    with np.errstate(all="ignore"):  # a Hessian may be as small as numbers get
        step = np.linalg.pinv(hessian, hermitian=True) @ slope
        if not np.hypot(*step) <= NEAR or not np.allclose(hessian @ step, slope, atol=1e-9):
            return None
    return float(point[0] - step[0]), float(point[1] - step[1])


def _kind(surface: Surface, level: Point) -> str:
    """What a level point is, by its curvatures."""
    low, high = surface.curvatures(*level)
    if low >= 0:
        return "a local minimum"
    return "a saddle point" if high > 0 else "a maximum"


def _over_the_limit(
    surface: Surface, points: Points, rule: Rule, hyperparameters: Mapping[str, Any], rates: Points
) -> str:
    """Say so if the learning rate was over the rule's limit of stability before the path left the map."""
    curvature = max((surface.curvatures(x, y)[1] for x, y in points.tolist()), default=0.0)
    limit = stability_limit(rule, curvature, hyperparameters) if curvature > 0 else None
    rate = max(rates.tolist(), default=0.0)
    if limit is None or rate <= limit[1]:
        return ""
    return f" because the learning rate, {rate:g}, is over {limit[0]} = {limit[1]:.3g}"


def _written(point: Point) -> str:
    """A point with up to three decimals, and no negative zeros.

    >>> _written((-0.0001, 1.41421))
    '(0, 1.414)'
    """
    return "({:g}, {:g})".format(*(round(value, 3) + 0.0 for value in point))


def stability_limit(rule: Rule, curvature: float, hyperparameters: Mapping[str, Any]) -> tuple[str, float] | None:
    """The largest stable learning rate of a rule where the highest curvature is λ > 0: its formula and what it is.

    None where no formula is known.

    Gradient descent 2/λ, the heavy ball 2(1+μ)/λ, Nesterov's momentum 2(1+μ)/((1+2μ)λ) (Polyak, 1964; Cohen et al.,
    2021).

    >>> stability_limit(rules.momentum, 50.0, {"momentum": 0.9})
    ('2(1+μ)/curvature', 0.076)
    """
    if rule not in LIMITS:
        return None
    formula, factor = LIMITS[rule]
    return formula, float(factor(hyperparameters.get("momentum", 0.0))) / curvature


#: Of a rule the largest stable rate as a formula, and as a function of momentum where the curvature is 1.
LIMITS: dict[Rule, tuple[str, Callable[[Any], Any]]] = {
    rules.gradient_descent: ("2/curvature", lambda mu: 2),
    rules.momentum: ("2(1+μ)/curvature", lambda mu: 2 * (1 + mu)),
    rules.nesterov: ("2(1+μ)/((1+2μ)·curvature)", lambda mu: 2 * (1 + mu) / (1 + 2 * mu)),
}
