"""A param group's rule with its numbers: how a group holds them, what they may be, what is refused."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from fallline import rules
from fallline._asked import did_you_mean
from fallline.rules import FROM_ZERO, Interval
from fallline.symbolic import Rule, make_plan, walk


@dataclass(frozen=True)
class Recipe:
    """A rule, its hyperparameters' values, and the keys under which the states lie in `optimizer.state[p]`.

    `initial` overrides what a state holds before the first step; `counts_steps` asks for a `step` in the state,
    whether the formula uses t or not.
    """

    rule: Rule
    values: Mapping[str, Any]
    state_keys: Mapping[str, str]
    counts_steps: bool
    initial: Mapping[str, float] = field(default_factory=dict)

    @property
    def static(self) -> dict[str, Any]:
        """The values that are part of the kernel's key."""
        return {name: self.values[name] for name in self.rule.static}


def number(value: Any) -> Any:
    """A hyperparameter as a plain number; a tensor holds one, and stays if autograd is to follow it."""
    return value if isinstance(value, Tensor) and value.requires_grad else float(value)


def check_globals(recipes: Sequence[Recipe]) -> None:
    """Raise ValueError if a number that is one for all tensors would follow from options that differ between groups."""
    first: dict[str, tuple[Recipe, float]] = {}
    for recipe in recipes:
        if not recipe.rule.global_states:
            continue
        numbers = make_plan(recipe.rule.trace(**recipe.static)).new_numbers
        deciding = {
            str(node.value)
            for node in walk(tuple(numbers[spec.name] for spec in recipe.rule.global_states))
            if node.operation == "scalar" and node.value in recipe.values
        }
        for name in deciding:
            other, value = first.setdefault(name, (recipe, float(recipe.values[name])))
            if other.rule is recipe.rule and value != float(recipe.values[name]):
                raise ValueError(
                    f"'{name}' of the rule '{recipe.rule.name}' must be the same in all param groups, since "
                    f"{', '.join(spec.name for spec in recipe.rule.global_states)} are kept for all tensors together; "
                    f"got {value:g} and {float(recipe.values[name]):g}"
                )


#: So far below 0 a schedule may end by rounding.
SCHEDULE_ROUNDING = 1e-12
#: torch's schedulers and ours add these to a group.
SCHEDULER_KEYS = ("initial_lr", "max_lr", "min_lr", "max_momentum", "base_momentum", "schedule")
#: Not hyperparameters of a rule.
_OTHER_KEYS = ("params", "param_names", "rule", "training", *SCHEDULER_KEYS)


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
            raise TypeError(
                f"the rule '{rule.name}' has no hyperparameter '{name}'; {did_you_mean(name, known, 'it has')}"
            )
    return values


def gather(rule: Rule, values: Mapping[str, Any]) -> dict[str, Any]:
    """The rule's hyperparameters as a group holds them."""
    names = beta_names(rule)
    rest = {name: value for name, value in values.items() if name not in names}
    return {**rest, "betas": tuple(values[name] for name in names)} if names else rest


def read(rule: Rule, group: Mapping[str, Any]) -> dict[str, Any]:
    """The values of all of the rule's hyperparameters, from a group that is complete."""
    names = beta_names(rule)
    values = {**group, **dict(zip(names, group["betas"] if names else (), strict=False))}
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
        elif wanted := rules.unmet(rule, name, float(value)):
            raise ValueError(f"'{name}' of the rule '{rule.name}' must be {wanted}; got {float(value):g}")


def check_changed(rule: Rule, values: Mapping[str, Any], torchs: bool = False) -> None:
    """Raise ValueError, naming the hyperparameter, for a number that a group can't go on with.

    `torchs` allows what the classes of torch.optim allow. A schedule may end below a rate of 0 by its rounding.
    """
    for name, value in values.items():
        if name in rule.static or (name == "lr" and -SCHEDULE_ROUNDING < float(value) < 0):
            continue
        free = _FREE_IN_TORCH.get(name) if torchs else None
        if wanted := rules.unmet(rule, name, float(value)) if free is None else free.unmet(float(value)):
            raise ValueError(
                f"'{name}' of the rule '{rule.name}' must be {wanted}; a param group was given {float(value):g}"
            )


#: torch's SGD and RMSprop take a momentum above 1 too, and SGD any dampening.
_FREE_IN_TORCH = {"momentum": FROM_ZERO, "dampening": Interval(-math.inf, math.inf, has_low=False)}


def limits_of(name: str, rule: Rule | None = None) -> Interval | None:
    """What a hyperparameter of a rule, or of torch's classes, may be; None where nobody said."""
    if rule is not None:
        return rules.interval_of(rule, name)
    shared = rules.HYPERPARAMETERS.get(name)
    return _FREE_IN_TORCH.get(name, shared and shared.limits)


#: Options of all of torch's classes, which ours follow.
_ALL = ("params", "lr", "weight_decay", "maximize", "foreach", "capturable", "differentiable")


def refuse_unknown(ours: type, follows: Iterable[str], group: dict[str, Any], defaults: dict[str, Any]) -> None:
    """Raise ValueError for an option of the installed torch's class that ours does not follow, unless left alone."""
    theirs = next(base for base in ours.__mro__ if base.__module__.startswith("torch.optim."))
    known = (*_ALL, *follows)
    for name, parameter in inspect.signature(theirs).parameters.items():
        value = group.get(name, defaults.get(name, parameter.default))
        if name not in known and value is not parameter.default and value != parameter.default:
            raise ValueError(
                f"{ours.__name__} does not follow {name}={value!r} of torch.optim.{theirs.__name__} yet; leave it at "
                f"{parameter.default!r}, or take torch's class"
            )
