"""The update rules, in order of complexity: each file is one method, as its paper prints it."""

import difflib

from fallline.rules.adagrad import adagrad
from fallline.rules.adam import adam, adamw, amsgrad
from fallline.rules.decay import decoupled_decay, l2
from fallline.rules.gradient_descent import gradient_descent, maximize
from fallline.rules.momentum import dampened_momentum, heavy_ball, momentum
from fallline.rules.nesterov import nesterov
from fallline.rules.rmsprop import centered_rmsprop, rmsprop
from fallline.symbolic import Rule

__all__ = [
    "adagrad",
    "adam",
    "adamw",
    "amsgrad",
    "centered_rmsprop",
    "dampened_momentum",
    "decoupled_decay",
    "find",
    "gradient_descent",
    "heavy_ball",
    "l2",
    "maximize",
    "momentum",
    "name_of",
    "nesterov",
    "rmsprop",
]

#: The rules by name; `sgd` is what most people call gradient descent on mini-batches.
ALL: dict[str, Rule] = {name: value for name, value in list(globals().items()) if isinstance(value, Rule)}
_ALIASES = {"sgd": "gradient_descent", "gd": "gradient_descent"}


def find(name: str) -> Rule:
    """The rule of a name. Raises LookupError with the nearest name if there is none.

    >>> find("adam")
    <rule adam>
    """
    name = _ALIASES.get(name, name)
    if name not in ALL:
        near = difflib.get_close_matches(name, [*ALL, *_ALIASES], 1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(sorted(ALL))}"
        raise LookupError(f"there is no rule '{name}'; {hint}")
    return ALL[name]


def name_of(rule: Rule) -> str:
    """What a rule is called here: composed ones, like adamw, by their short name.

    >>> name_of(adamw)
    'adamw'
    """
    return next((name for name, known in ALL.items() if known is rule), rule.name)
