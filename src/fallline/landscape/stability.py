"""The learning rate over which a method runs away from a quadratic minimum."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fallline import rules
from fallline.symbolic import Rule


@dataclass(frozen=True)
class Limit:
    """`formula` as it is written, `value` what it comes to."""

    formula: str
    value: float


def stability_limit(rule: Rule, curvature: float, hyperparameters: Mapping[str, Any]) -> Limit | None:
    """The largest stable learning rate of a rule where the highest curvature is λ > 0; None where no formula is known.

    Gradient descent 2/λ, the heavy ball 2(1+μ)/λ, Nesterov's momentum 2(1+μ)/((1+2μ)λ) (Polyak, 1964; Cohen et al.,
    2021).

    >>> stability_limit(rules.momentum, 50.0, {"momentum": 0.9})
    Limit(formula='2(1+μ)/curvature', value=0.076)
    """
    known = _LIMITS.get(rule)
    if known is None:
        return None
    formula, factor = known
    return Limit(formula, factor(hyperparameters.get("momentum", 0.0)) / curvature)


_LIMITS: dict[Rule, tuple[str, Callable[[float], float]]] = {
    rules.gradient_descent: ("2/curvature", lambda mu: 2),
    rules.momentum: ("2(1+μ)/curvature", lambda mu: 2 * (1 + mu)),
    rules.nesterov: ("2(1+μ)/((1+2μ)·curvature)", lambda mu: 2 * (1 + mu) / (1 + 2 * mu)),
}
