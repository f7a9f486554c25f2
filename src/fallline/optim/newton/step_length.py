"""How far a step goes: searched for, taken whole, or not at all."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch

from fallline.optim.newton.line import Line
from fallline.optim.newton.line_search import armijo, strong_wolfe

#: "gradient small": the parameters stand where the gradient is at most `tolerance_grad`, and were left there.
#: "step small": the step is below the parameters' rounding and changed none.
#: "rounding": the predicted decrease is below the loss's rounding, and the step did not shorten the gradient either.
#: "line search failed": no step length met the search's conditions; the parameters were left as they were.
Reason = Literal["step taken", "gradient small", "step small", "rounding", "line search failed"]

SEARCHES: dict[str, Callable[[Line, float], float | None]] = {"armijo": armijo, "strong_wolfe": strong_wolfe}
#: A loss is known to so many roundings at best: a smaller decrease can't be seen in it.
_ROUNDINGS = 100


def take_step(line: Line, search: str | None, first: float, stationary: bool) -> tuple[float, Reason]:
    """Move the parameters along the line, by `first` if the search has no reason for less; the length and the outcome.

    Raises ValueError if there is no search and the loss at the end is not finite.
    """
    escapes = bool(line.direction.escape)
    if stationary and not escapes:
        return 0.0, "gradient small"
    if search is None and not escapes:
        if math.isinf(line.loss(first)):
            raise ValueError(
                f"the loss after a Newton step of length {first:g} is not finite; the parameters are as before it. "
                "Pass line_search='armijo' or a smaller lr"
            )
        return first, _outcome(line)
    rounding = _ROUNDINGS * torch.finfo(line.model.loss.dtype).eps * abs(line.loss_before)
    if -line.predicted(first) <= rounding:
        return _step_without_search(line, first, rounding)
    # Beside a saddle the slope is next to nothing, and the curvature condition would ask for less still.
    length = (armijo if line.direction.negative_curvature else SEARCHES[search or "armijo"])(line, first)
    if length is None:
        line.move(0.0)
        return 0.0, "line search failed"
    line.move(length)
    return length, _outcome(line)


def _step_without_search(line: Line, length: float, rounding: float) -> tuple[float, Reason]:
    """The whole step if it shortens the gradient, which near a minimum is known to more digits than the loss.

    Beside a saddle the gradient grows on the way out, so there it may.
    """
    if line.loss(length) <= line.loss_before + rounding:
        shorter = float(line.gradient(length).norm()) < float(line.model.gradient.norm())
        if shorter or line.direction.negative_curvature:
            return length, _outcome(line)
    line.move(0.0)
    return 0.0, "rounding"


def _outcome(line: Line) -> Reason:
    return "step taken" if line.step_norm() else "step small"
