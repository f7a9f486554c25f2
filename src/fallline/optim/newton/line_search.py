"""How far a step goes along a direction: searched for, taken whole, or not at all."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fallline.optim.newton.curvature import Closure, Direction, LocalModel, evaluate, gradients_of


class Line:
    """φ(α) = L(θ + αd), from where the parameters stood when it was made; to ask for it moves them to θ + αd."""

    def __init__(self, closure: Closure, model: LocalModel, direction: Direction) -> None:
        self._closure = closure
        self.model = model
        self._start = [p.clone() for p in model.params]
        parts = torch.split(direction.vector, [p.numel() for p in model.params])
        self._parts = [part.view(p.shape) for part, p in zip(parts, model.params, strict=True)]
        self.direction = direction
        self.loss_before = float(model.loss)
        self.slope_before = min(0.0, float(model.gradient @ direction.vector))
        self.evaluations = 0
        self._latest: tuple[float, Tensor] | None = None

    def predicted(self, length: float) -> float:
        """The change of the loss that the slope promises, and the curvature too where it leads out of a saddle."""
        return length * self.slope_before + length**2 * self.direction.escape / 2

    def move(self, length: float) -> None:
        """Put the parameters at θ + αd: at 0, just where they were."""
        for p, start, part in zip(self.model.params, self._start, self._parts, strict=True):
            p.copy_(start if length == 0 else start.add(part, alpha=length))

    def loss(self, length: float) -> float:
        """φ(α); what is not finite counts as infinite, so that a search turns back."""
        value = float(self._at(length).detach())
        return value if math.isfinite(value) else math.inf

    def gradient(self, length: float) -> Tensor:
        """The loss's gradient at θ + αd, as a flat vector."""
        found = gradients_of(self._at(length), self.model.params)
        return torch.cat(
            [
                (torch.zeros_like(p) if g is None else g).reshape(-1)
                for p, g in zip(self.model.params, found, strict=True)
            ]
        )

    def slope(self, length: float) -> float:
        """φ'(α)."""
        return float(self.gradient(length) @ self.direction.vector)

    def step_norm(self) -> float:
        """The largest change that a parameter has undergone."""
        return max(
            float((p - start).abs().max()) for p, start in zip(self.model.params, self._start, strict=True) if p.numel()
        )

    def _at(self, length: float) -> Tensor:
        """The loss at θ + αd, with its graph; a search asks for value and slope of the same point."""
        if self._latest is None or self._latest[0] != length:
            self.move(length)
            self._latest = (length, evaluate(self._closure))
            self.evaluations += 1
        return self._latest[1]


#: Nocedal and Wright (2006), p. 34: the decrease asked for, and the slope allowed to be left after a Newton step.
DECREASE = 1e-4
CURVATURE = 0.9
_TRIALS = 40


def armijo(line: Line, first: float) -> float | None:
    """The first length, starting from `first` and going back, that decreases the loss enough (Armijo, 1966).

    Enough is φ(α) ≤ φ(0) + 1e-4·α·φ'(0), with a term for the curvature where the direction leads out of a saddle (Moré
    and Sorensen, 1979). The next trial is the minimum of the parabola through φ(0), φ'(0) and φ(α), kept between a
    tenth and a half of α (Dennis and Schnabel, 1983, A6.3.1). None if 40 trials were not enough.
    """
    length = first
    for _ in range(_TRIALS):
        loss = line.loss(length)
        if loss < line.loss_before and loss <= line.loss_before + DECREASE * line.predicted(length):
            return length
        excess = loss - line.loss_before - length * line.slope_before
        vertex = -line.slope_before * length**2 / (2 * excess) if excess > 0 else length
        length = min(max(vertex, 0.1 * length), 0.5 * length)
    return None


def strong_wolfe(line: Line, first: float) -> float | None:
    """A length that decreases the loss enough and leaves |φ'(α)| ≤ 0.9·|φ'(0)| (Nocedal and Wright, 2006, 3.5).

    SciPy searches, given the line as a function of one number; it starts from Armijo's length, since it gives up where
    the first is far too long. None if it found none.
    """
    from scipy.optimize import line_search

    start = armijo(line, first)
    if start is None:
        return None

    def loss(x: NDArray[np.float64]) -> float:
        return line.loss(float(x[0]))

    def slope(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.array([line.slope(float(x[0]))])

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(The line search algorithm|Rounding errors)")  # the report says it
        length, *_, slope_after = line_search(
            loss,
            slope,
            np.zeros(1),
            np.array([start]),
            np.array([line.slope_before]),
            line.loss_before,
            c1=DECREASE,
            c2=CURVATURE,
        )
    return None if length is None or slope_after is None else float(length) * start


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
