"""What an optimizer wants done with one of its param groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fallline.symbolic import Rule


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

    def fill(self, state: str) -> float:
        """The number that a new tensor of this state holds."""
        return self.initial.get(state, next(spec.fill for spec in self.rule.states if spec.name == state))
