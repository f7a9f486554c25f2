"""The options that nearly all of torch's classes share: weight decay, and climbing instead of descending."""

from __future__ import annotations

import inspect
from typing import Any

from fallline import rules
from fallline.optim.recipe import number
from fallline.optim.session import Group
from fallline.symbolic import Rule


def with_common_options(rule: Rule, values: dict[str, Any], group: Group) -> Rule:
    """The rule with decay, L2 or decoupled, and maximised, as the group says; `values` gets what that takes."""
    if group["weight_decay"] != 0:
        rule = (rules.decoupled_decay if group.get("decoupled_weight_decay") else rules.l2)(rule)
        values["weight_decay"] = number(group["weight_decay"])
    return rules.maximize(rule) if group["maximize"] else rule


#: The options of torch's classes that ours follow, beside those of `_ALL`.
_FOLLOWED = {
    "SGD": ("momentum", "dampening", "nesterov", "fused"),
    "Adagrad": ("lr_decay", "eps", "initial_accumulator_value", "fused"),
    "Adadelta": ("rho", "eps"),
    "RMSprop": ("alpha", "eps", "momentum", "centered"),
    "Adam": ("betas", "eps", "amsgrad", "fused", "decoupled_weight_decay"),
    "AdamW": ("betas", "eps", "amsgrad", "fused", "decoupled_weight_decay"),
    "Adamax": ("betas", "eps"),
    "NAdam": ("betas", "eps", "momentum_decay", "decoupled_weight_decay"),
    "RAdam": ("betas", "eps", "decoupled_weight_decay"),
    "Muon": ("momentum", "nesterov", "ns_coefficients", "eps", "ns_steps", "adjust_lr_fn"),
    "Adafactor": ("beta2_decay", "eps", "d"),
}
_ALL = ("params", "lr", "weight_decay", "maximize", "foreach", "capturable", "differentiable")


def refuse_unknown(ours: type, group: Group, defaults: dict[str, Any]) -> None:
    """Raise ValueError for an option of the installed torch's class that ours does not know, unless left alone."""
    theirs = next((base for base in ours.__mro__ if base.__module__.startswith("torch.optim.")), None)
    if theirs is None or theirs.__name__ not in _FOLLOWED:
        return
    known = (*_ALL, *_FOLLOWED[theirs.__name__])
    for name, parameter in inspect.signature(theirs).parameters.items():
        value = group.get(name, defaults.get(name, parameter.default))
        if name not in known and value is not parameter.default and value != parameter.default:
            raise ValueError(
                f"{ours.__name__} does not follow {name}={value!r} of torch.optim.{theirs.__name__} yet; leave it at "
                f"{parameter.default!r}, or take torch's class"
            )
