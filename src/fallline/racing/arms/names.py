"""Arms from what a person gives: names, rules, classes."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import torch

from fallline import rules
from fallline.racing.arms.arm import Arm
from fallline.racing.arms.default_arms import DEFAULT_ARMS
from fallline.symbolic import Rule
from fallline.training.method_name import CLASSES, find_method


def as_arms(entrants: Sequence[Any] | None) -> tuple[Arm, ...]:
    """Arms from names, rules, torch optimizer classes and arms; the default ones for None.

    Capital letters and hyphens in names do not matter, `gd` is `sgd`, and `muon` and the like, which are no rules, are
    the classes of `fallline.optim`. Raises ValueError for a name that is not
    there (with the nearest), one that comes twice, or no arm at all; TypeError for what is none of these.
    """
    if isinstance(entrants, (str, Rule, Arm, type)):
        raise ValueError("arms must be a list, such as arms=['sgd', 'adam']")
    arms = tuple(map(_as_arm, DEFAULT_ARMS if entrants is None else entrants))
    if not arms:
        raise ValueError("arms is empty; give at least one, such as arms=['sgd', 'adam']")
    names = [arm.name for arm in arms]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"two arms are called '{twice}'; give one of them another name: Arm('name', optimizer)")
    return arms


def _as_arm(entrant: Any) -> Arm:
    if isinstance(entrant, Arm):
        return entrant
    if isinstance(entrant, Rule):
        known = next((name for name, (rule, _) in DEFAULT_ARMS.items() if rule is entrant), None)
        return _as_arm(known) if known else Arm(rules.name_of(entrant), entrant)
    if isinstance(entrant, type):
        return Arm(entrant.__name__, entrant)
    if isinstance(entrant, torch.optim.Optimizer):
        kind = type(entrant).__name__
        raise TypeError(
            f"an arm makes an optimizer for each of its runs; give the class {kind}, not one instance of it"
        )
    if not isinstance(entrant, str):
        kind = type(entrant).__name__
        raise TypeError(f"an arm is a name, a rule, a torch optimizer class or an Arm; got {entrant!r} of type {kind}")
    name = rules.plain_name(entrant)
    if name in DEFAULT_ARMS:
        rule, ends = DEFAULT_ARMS[name]
        return Arm(name, rule, {"lr": ends})
    try:
        found = find_method(name)
        return _as_arm(found) if isinstance(found, Rule) else Arm(name, found)
    except LookupError as error:
        names = list(dict.fromkeys([*DEFAULT_ARMS, *rules.ALL, *CLASSES]))
        near = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(names)}"
        raise ValueError(f"there is no arm '{entrant}'; {hint}") from error
