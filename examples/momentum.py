"""Momentum in three forms: the sum of gradients, their average, and a velocity.

At a constant learning rate they take one path, the average with a rate 1/(1-μ) times as large. When the rate falls they
part: the sum is scaled by the new rate as a whole, the velocity keeps what it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fallline import arrays, rules
from fallline.symbolic import Rule

CURVATURE = np.array([1.0, 25.0])  # of the valley f(x) = ½ Σ c x²


def path(rule: Rule, rates: Sequence[float]) -> NDArray[Any]:
    """The points [steps, 2] of a descent into the valley, with a learning rate for each step."""
    x = np.array([10.0, 1.0])
    optimizer = arrays.Optimizer(rule, momentum=0.9)
    points = []
    for rate in rates:
        optimizer.lr = rate
        optimizer.update({"x": x}, {"x": CURVATURE * x})
        points.append(x.copy())
    return np.array(points)


def gaps(rates: Sequence[float]) -> dict[str, float]:
    """How far the two other forms ever are from the sum form."""
    reference = path(rules.momentum, rates)
    others = {
        "velocity": path(rules.velocity_momentum, rates),
        "average": path(rules.ema_momentum, [10 * rate for rate in rates]),
    }
    return {name: float(np.abs(points - reference).max()) for name, points in others.items()}


def main(steps: int = 50) -> dict[str, dict[str, float]]:
    """Compare the forms at a constant rate, and at one that falls to a tenth half-way."""
    constant = [0.01] * steps
    falling = [0.01] * (steps // 2) + [0.001] * (steps - steps // 2)
    found = {"constant": gaps(constant), "falling": gaps(falling)}
    for name, gap in found.items():
        print(f"learning rate {name}: largest gap to the sum form {gap}")
    return found


if __name__ == "__main__":
    main()
