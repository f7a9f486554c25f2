"""The arms of a default race. Nothing here needs torch, so that help texts can name them at once."""

from __future__ import annotations

from fallline import rules
from fallline.symbolic import Rule

PLAIN, ADAPTIVE = (1e-4, 10.0), (1e-6, 0.1)
#: The arms of a default race with their learning rates' spaces.
DEFAULT_ARMS: dict[str, tuple[Rule, tuple[float, float]]] = {
    "sgd": (rules.gradient_descent, PLAIN),
    "momentum": (rules.momentum, PLAIN),
    "nesterov": (rules.nesterov, PLAIN),
    "adagrad": (rules.adagrad, PLAIN),
    "adadelta": (rules.adadelta, (1e-3, 100.0)),
    "rmsprop": (rules.rmsprop, ADAPTIVE),
    "adam": (rules.adam, ADAPTIVE),
    "adamw": (rules.adamw, ADAPTIVE),
    "adamax": (rules.adamax, ADAPTIVE),
    "nadam": (rules.nadam, ADAPTIVE),
    "radam": (rules.radam, (1e-5, 1.0)),
    "adamp": (rules.adamp, ADAPTIVE),
}
