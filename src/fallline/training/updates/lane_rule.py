"""What moves one lane, and what takes over from it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from fallline._asked import whole
from fallline.rules import keeps_average
from fallline.schedules import Schedule
from fallline.symbolic import Rule


@dataclass(frozen=True)
class LaneRule:
    """What moves one lane: a rule with all its hyperparameters' values, or a torch optimizer class with its own,
    or a function that makes an optimizer of parameters.

    Attributes:
        rule: The rule, or a class or function that makes an optimizer of parameters.
        values: All hyperparameters of the rule by name; of a class those that are not its defaults.
        schedule: At the run's step s, from 1, the rate is `values["lr"]` times schedule(s - 1). None: constant.
        then: (updates, lane rule): the lane rule that takes over after so many updates of this one, from what the lane
            would be evaluated at, with fresh states and a step count t of its own, while its schedule goes on counting
            the run's steps.

    Raises:
        ValueError: A schedule has no `lr` to act on, a value is missing, a count is below 1, or a Schedule-Free rule's
            beta is not above 0 and below 1.
        TypeError: What is given is no schedule or no lane rule.

    >>> from fallline import rules
    >>> from fallline.schedules import cosine
    >>> calm = LaneRule(rules.momentum, {"lr": 0.1, "momentum": 0.9}, cosine(100))
    >>> LaneRule(rules.adam, rules.adam.defaults, then=(20, calm)).then[1].schedule(50)
    0.5
    """

    rule: Rule | Callable[..., torch.optim.Optimizer]
    values: Mapping[str, Any]
    schedule: Schedule | None = None
    then: tuple[int, LaneRule] | None = None

    def __post_init__(self) -> None:
        if self.schedule is not None and not isinstance(self.schedule, Schedule):
            raise TypeError(
                f"schedule: must be a fallline.schedules.Schedule, got {self.schedule!r}; "
                "make one of a function of the step: Schedule(function)"
            )
        if self.schedule is not None and not _has_rate(self.rule):
            name = self.rule.name if isinstance(self.rule, Rule) else getattr(self.rule, "__name__", "")
            raise ValueError(
                f"schedule: '{name}' has no learning rate 'lr' that it could act on; leave the schedule out"
            )
        if isinstance(self.rule, Rule):
            self._check_values(self.rule)
        if self.then is not None:
            updates, following = self.then
            whole("the count of updates in then", updates)
            if not isinstance(following, LaneRule):
                raise TypeError(f"then: must be (updates, LaneRule), got {following!r} for the lane rule")

    @property
    def static(self) -> dict[str, Any]:
        """The values of the rule's hyperparameters that are settled while it is traced."""
        assert isinstance(self.rule, Rule)
        return {name: self.values[name] for name in self.rule.static}

    def _check_values(self, rule: Rule) -> None:
        missing = [name for name in rule.hyperparameters if name not in self.values]
        if missing:
            raise ValueError(
                f"values: the rule '{rule.name}' needs one for {', '.join(missing)}; "
                "give all of its hyperparameters, such as {**rule.defaults, 'lr': 0.1}"
            )
        if keeps_average(rule) and not 0 < self.values["beta"] < 1:
            raise ValueError(
                f"values: 'beta' of the rule '{rule.name}' must be above 0 and below 1, got {self.values['beta']:g}; "
                "without it the average to evaluate could not be had from the weights"
            )


def _has_rate(rule: Rule | Callable[..., torch.optim.Optimizer]) -> bool:
    if isinstance(rule, Rule):
        return "lr" in rule.hyperparameters
    parameters = inspect.signature(rule).parameters
    return "lr" in parameters or any(one.kind is one.VAR_KEYWORD for one in parameters.values())
