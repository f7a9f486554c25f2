"""`fallline.Optimizer`: any rule as a torch optimizer."""

from __future__ import annotations

import difflib
from numbers import Real
from typing import Any

import torch
from torch.optim.optimizer import ParamsT

from fallline.optim.engine import Engine, number
from fallline.optim.recipe import Recipe
from fallline.optim.session import Group
from fallline.symbolic import Rule


class Optimizer(Engine, torch.optim.Optimizer):
    """A `torch.optim.Optimizer` that follows a rule.

    `params` as for torch's optimizers: tensors, named tensors, or groups that override hyperparameters;
    `hyperparameters` by the names in the rule's signature. States are kept under the rule's names for them.

    Raises TypeError for what is not a rule, a hyperparameter the rule does not have or one that is missing, and
    for one that is not a number (or, where its default is one, a truth value or a string).

    >>> import torch
    >>> from fallline.rules import momentum
    >>> p = torch.nn.Parameter(torch.ones(2))
    >>> optimizer = Optimizer([p], momentum, lr=0.5)
    >>> p.sum().backward(); optimizer.step(); p.tolist()
    [0.5, 0.5]
    """

    def __init__(self, params: ParamsT, rule: Rule, **hyperparameters: Any) -> None:
        if not isinstance(rule, Rule):
            raise TypeError(
                f"Optimizer takes a rule as its second argument; it got a {type(rule).__name__}. "
                "Put @fallline.rule over the function, or take one of fallline.rules"
            )
        self.rule = rule
        _check_names(rule, hyperparameters)
        super().__init__(params, {**rule.hyperparameters, **hyperparameters})

    def add_param_group(self, param_group: Group) -> None:
        """Add a param group, as torch's optimizers do; its keys are `params` and hyperparameters of the rule."""
        own = {key: value for key, value in param_group.items() if key not in ("params", "param_names")}
        _check_names(self.rule, {key: value for key, value in own.items() if key not in _SCHEDULER_KEYS})
        for name in self.rule.hyperparameters:
            _check_value(self.rule, name, own.get(name, self.defaults[name]))
        super().add_param_group(param_group)

    def _recipe(self, group: Group) -> Recipe:
        rule = self.rule
        values = {name: group[name] if name in rule.static else number(group[name]) for name in rule.hyperparameters}
        return Recipe(rule, values, {spec.name: spec.name for spec in rule.states}, counts_steps=rule.uses_t)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "rule": self.rule}


#: torch's schedulers add these to a group.
_SCHEDULER_KEYS = ("initial_lr", "max_lr", "min_lr", "max_momentum", "base_momentum")


def _check_names(rule: Rule, given: dict[str, Any]) -> None:
    known = list(rule.hyperparameters)
    for name in given:
        if name not in rule.hyperparameters:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"it has {', '.join(known) or 'none'}"
            raise TypeError(f"the rule '{rule.name}' has no hyperparameter '{name}'; {hint}")


def _check_value(rule: Rule, name: str, value: Any) -> None:
    default = rule.hyperparameters[name]
    if value is None:
        raise TypeError(f"the rule '{rule.name}' needs a value for '{name}': pass {name}=...")
    if name in rule.static:
        if type(value) is not type(default):
            raise TypeError(f"'{name}' of the rule '{rule.name}' must be a {type(default).__name__}; got {value!r}")
    elif isinstance(value, bool) or not (
        isinstance(value, Real) or (isinstance(value, torch.Tensor) and value.numel() == 1)
    ):
        raise TypeError(f"'{name}' of the rule '{rule.name}' must be a number; got {value!r}")
    else:
        wanted = _bounds(name, float(value))
        if wanted:
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
