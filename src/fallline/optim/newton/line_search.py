"""How far to go along a direction."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from fallline.optim.newton.line import Line

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
