"""The arms of a default race. Nothing here needs torch, so that help texts can name them at once."""

from __future__ import annotations

from fallline import rules
from fallline.symbolic import Rule

#: The rules of a default race by their arms' names.
DEFAULT_ARMS: dict[str, Rule] = {
    "sgd": rules.gradient_descent,
    "momentum": rules.momentum,
    "nesterov": rules.nesterov,
    "adagrad": rules.adagrad,
    "adadelta": rules.adadelta,
    "rmsprop": rules.rmsprop,
    "adam": rules.adam,
    "adamw": rules.adamw,
    "adamax": rules.adamax,
    "nadam": rules.nadam,
    "radam": rules.radam,
    "adamp": rules.adamp,
}
