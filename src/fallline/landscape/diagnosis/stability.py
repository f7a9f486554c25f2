"""The limits of stability: how high a rate an optimizer bears on a quadratic, and how high a curvature at a rate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fallline import rules
from fallline.landscape.diagnosis.short_runs import Mover
from fallline.symbolic import Rule

Settings = Mapping[str, Any]


def _beta(settings: Settings) -> float:
    return float(settings["momentum"])


#: Of each rule the product of rate and curvature beyond which it diverges on a quadratic.
_LIMITS: dict[Rule, Callable[[Settings], float]] = {
    rules.gradient_descent: lambda settings: 2.0,
    rules.momentum: lambda settings: 2 * (1 + _beta(settings)),
    rules.velocity_momentum: lambda settings: 2 * (1 + _beta(settings)),
    rules.ema_momentum: lambda settings: 2 * (1 + _beta(settings)) / (1 - _beta(settings)),
    rules.nesterov: lambda settings: 2 * (1 + _beta(settings)) / (1 + 2 * _beta(settings)),
}


def stability_limit(mover: Mover) -> float | None:
    """The product of rate and curvature beyond which the optimizer diverges on a quadratic; None where none is known.

    >>> from fallline.landscape.diagnosis.short_runs import as_mover
    >>> stability_limit(as_mover("momentum", {"momentum": 0.5}))
    3.0
    """
    limit = _LIMITS.get(mover.method) if isinstance(mover.method, Rule) else None
    return None if limit is None else limit(mover.settings)
