"""What an optimizer wants done with one of its param groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from fallline.symbolic import Rule, make_plan
from fallline.symbolic.expression import walk


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
    def keeps_states(self) -> bool:
        """Whether anything is kept for a parameter."""
        return self.counts_steps or bool(self.rule.states)

    @property
    def static(self) -> dict[str, Any]:
        """The values that are part of the kernel's key."""
        return {name: self.values[name] for name in self.rule.static}

    def fill(self, state: str) -> float:
        """The number that a new tensor of this state holds."""
        return self.initial.get(state, next(spec.fill for spec in self.rule.states if spec.name == state))


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
