"""A rule's hyperparameters as a param group holds them, and what they may be."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from numbers import Real
from typing import Any

import torch

from fallline.optim.engine import number
from fallline.symbolic import Rule

#: torch's schedulers add these to a group.
_SCHEDULER_KEYS = ("initial_lr", "max_lr", "min_lr", "max_momentum", "base_momentum")
#: Not hyperparameters of a rule.
_OTHER_KEYS = ("params", "param_names", "rule", "training", *_SCHEDULER_KEYS)


def beta_names(rule: Rule) -> tuple[str, ...]:
    """The rule's decay factors that a group holds as `betas`, as torch's groups do, where schedulers look for them."""
    names = tuple(name for name in ("beta1", "beta2", "beta3") if name in rule.hyperparameters)
    return names if names[:2] == ("beta1", "beta2") else ()


def spread(rule: Rule, given: Mapping[str, Any]) -> dict[str, Any]:
    """What was given for a group, by the rule's own names: `betas` taken apart, other keys left out.

    Raises TypeError for a name that the rule does not have, or for betas that do not fit.
    """
    names = beta_names(rule)
    values = {key: value for key, value in given.items() if key not in _OTHER_KEYS}
    if "betas" in values and names:
        betas = values.pop("betas")
        if not isinstance(betas, (tuple, list)) or len(betas) != len(names):
            raise TypeError(f"'betas' of the rule '{rule.name}' must be {len(names)} numbers; got {betas!r}")
        values = {**dict(zip(names, betas, strict=True)), **values}
    known = list(rule.hyperparameters)
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"it has {', '.join(known) or 'none'}"
            raise TypeError(f"the rule '{rule.name}' has no hyperparameter '{name}'; {hint}")
    return values


def gather(rule: Rule, values: Mapping[str, Any]) -> dict[str, Any]:
    """The rule's hyperparameters as a group holds them."""
    names = beta_names(rule)
    rest = {name: value for name, value in values.items() if name not in names}
    return {**rest, "betas": tuple(values[name] for name in names)} if names else rest


def read(rule: Rule, group: Mapping[str, Any]) -> dict[str, Any]:
    """The values of all of the rule's hyperparameters, from a group that is complete."""
    values = {**group, **dict(zip(beta_names(rule), group.get("betas", ()), strict=False))}
    return {name: values[name] if name in rule.static else number(values[name]) for name in rule.hyperparameters}


def check(rule: Rule, values: Mapping[str, Any]) -> None:
    """Raise TypeError or ValueError, naming the hyperparameter, for a value that it can't have."""
    for name, default in rule.hyperparameters.items():
        value = values.get(name)
        if value is None:
            raise TypeError(f"the rule '{rule.name}' needs a value for '{name}': pass {name}=...")
        if name in rule.static:
            if type(value) is not type(default):
                raise TypeError(f"'{name}' of the rule '{rule.name}' must be a {type(default).__name__}; got {value!r}")
        elif isinstance(value, bool) or not (
            isinstance(value, Real) or (isinstance(value, torch.Tensor) and value.numel() == 1)
        ):
            raise TypeError(f"'{name}' of the rule '{rule.name}' must be a number; got {value!r}")
        elif wanted := _bounds(name, float(value)):
            raise ValueError(f"'{name}' of the rule '{rule.name}' must be {wanted}; got {float(value):g}")


def _bounds(name: str, value: float) -> str | None:
    """What a value should be that it is not: some names mean the same in every rule."""
    if value != value:
        return "a number"
    if name in ("lr", "eps", "weight_decay") and value < 0:
        return "at least 0"
    if name in ("beta", "beta1", "beta2", "beta3") and not 0 <= value < 1:
        return "at least 0 and less than 1"
    return None
