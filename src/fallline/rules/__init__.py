"""The update rules, in order of complexity: each file is one method, as its paper prints it."""

import difflib

from fallline.rules.adadelta import adadelta
from fallline.rules.adagrad import adagrad, adagrad_keras
from fallline.rules.adam import adam, adam_eps_hat, adam_uncorrected, adamw, amsgrad, amsgrad_corrected
from fallline.rules.adamax import adamax
from fallline.rules.adamp import adamp
from fallline.rules.ademamix import ademamix
from fallline.rules.averaged import averaged
from fallline.rules.cautious import cautious
from fallline.rules.clipping import clip_norm, clip_value
from fallline.rules.decay import decoupled_decay, fully_decoupled_decay, l2
from fallline.rules.gradient_descent import gradient_descent, maximize
from fallline.rules.lamb import lamb
from fallline.rules.lars import lars
from fallline.rules.lion import lion
from fallline.rules.momentum import dampened_momentum, ema_momentum, heavy_ball, momentum, velocity_momentum
from fallline.rules.nadam import nadam
from fallline.rules.nesterov import nesterov, velocity_nesterov
from fallline.rules.prodigy import prodigy
from fallline.rules.proximal import proximal_l1
from fallline.rules.radam import radam, radam_authors, radam_paper
from fallline.rules.rmsprop import centered_rmsprop, rmsprop, rmsprop_tensorflow
from fallline.rules.schedule_free import normalized_gradient, schedule_free, schedule_free_adam, schedule_free_sgd
from fallline.symbolic import Rule

__all__ = [
    "adadelta",
    "adagrad",
    "adagrad_keras",
    "adam",
    "adam_eps_hat",
    "adam_uncorrected",
    "adamax",
    "adamp",
    "adamw",
    "ademamix",
    "amsgrad",
    "amsgrad_corrected",
    "averaged",
    "cautious",
    "centered_rmsprop",
    "clip_norm",
    "clip_value",
    "dampened_momentum",
    "decoupled_decay",
    "ema_momentum",
    "find",
    "fully_decoupled_decay",
    "gradient_descent",
    "heavy_ball",
    "l2",
    "lamb",
    "lars",
    "lion",
    "maximize",
    "momentum",
    "nadam",
    "name_of",
    "nesterov",
    "normalized_gradient",
    "plain_name",
    "prodigy",
    "proximal_l1",
    "radam",
    "radam_authors",
    "radam_paper",
    "rmsprop",
    "rmsprop_tensorflow",
    "schedule_free",
    "schedule_free_adam",
    "schedule_free_sgd",
    "velocity_momentum",
    "velocity_nesterov",
]

#: The rules by name; `sgd` is what most people call gradient descent on mini-batches.
ALL: dict[str, Rule] = {name: value for name, value in list(globals().items()) if isinstance(value, Rule)}
_ALIASES = {"sgd": "gradient_descent", "gd": "gradient_descent"}


def find(name: str) -> Rule:
    """The rule of a name, whose capital letters and hyphens do not matter.

    Raises LookupError with the nearest name if there is none.

    >>> find("RMSProp")
    <rule rmsprop>
    """
    name = plain_name(name)
    name = _ALIASES.get(name, name)
    if name not in ALL:
        near = difflib.get_close_matches(name, [*ALL, *_ALIASES], 1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(sorted(ALL))}"
        raise LookupError(f"there is no rule '{name}'; {hint}")
    return ALL[name]


def plain_name(typed: str) -> str:
    """A name as a person types it, by the letters that matter: no capitals, no hyphens.

    >>> plain_name("Schedule-Free-SGD")
    'schedule_free_sgd'
    """
    return typed.strip().lower().replace("-", "_")


def name_of(rule: Rule) -> str:
    """What a rule is called here: composed ones, like adamw, by their short name.

    >>> name_of(adamw)
    'adamw'
    """
    return next((name for name, known in ALL.items() if known is rule), rule.name)
