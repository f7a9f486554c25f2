"""Whether something can enter a race, and whether its space can be searched."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any

import torch

from fallline.racing.arms.dimensions import Choice, Dimension, as_dimension
from fallline.racing.arms.hyperparameters import Method, can_decay, hyperparameters, label
from fallline.racing.arms.shared_dimensions import check_shared, offered
from fallline.racing.arms.spaces import space_of
from fallline.symbolic import Rule
from fallline.training import needs_closure


def check_name(arm: Any) -> None:
    """Raise ValueError for what is no name."""
    if not arm or not isinstance(arm, str):
        raise ValueError(f"an arm needs a name; got {arm!r}")


def check_method(arm: str, given: Any) -> Method:
    """The rule or class of an arm; a class that is one rule and nothing else is that rule, which lanes can share.

    Raises ValueError for an arm without a name and for a class whose step needs a closure, TypeError for what is
    neither a rule nor a class.
    """
    check_name(arm)
    if isinstance(given, Rule):
        return given
    if not (isinstance(given, type) and issubclass(given, torch.optim.Optimizer)):
        raise TypeError(
            f"the optimizer of arm '{arm}' is {given!r}; it must be a rule or a torch.optim.Optimizer class"
        )
    if needs_closure(given):
        raise ValueError(
            f"arm '{arm}': {given.__name__} needs a closure that evaluates the batch again, and a race takes plain "
            "steps; leave it out, and train with it by fallline.fit"
        )
    followed: Method = vars(given).get("follows", given)
    return followed


def checked_space(arm: str, method: Method, given: Mapping[str, Any], fixed: Mapping[str, Any]) -> dict[str, Dimension]:
    """The dimensions that are searched, the learning rate among them unless it is fixed.

    Raises ValueError, naming the hyperparameter, for what the arm does not have, what can't be searched, and what
    stands in both the space and `fixed`; and for an arm of which nothing is searched.
    """
    for name in (*given, *fixed):
        _check_known(arm, method, name)
    pair = next((name for name in given if isinstance(hyperparameters(method).get(name), tuple)), None)
    if pair is not None:
        raise ValueError(
            f"arm '{arm}': '{pair}' holds a pair, which can't be searched; race the rule, such as fallline.rules.adam, "
            "whose beta1 and beta2 can be"
        )
    space = dimensions(arm, given, fixed)
    check_values(arm, offered(method), space, fixed)
    rate = space_of(label(method), "lr", hyperparameters(method).get("lr"))
    if "lr" not in {*space, *fixed} and "lr" in hyperparameters(method) and rate is not None:
        space = {"lr": rate, **space}
    if not space:
        raise ValueError(
            f"arm '{arm}' fixes 'lr', which is what a race searches; give space={{'lr': (low, high)}}"
            if "lr" in fixed
            else f"arm '{arm}' has no learning rate 'lr' with a default to search around; "
            "give space={'lr': (low, high)}, or whatever it calls it"
        )
    return space


def dimensions(arm: str, given: Mapping[str, Any], fixed: Mapping[str, Any]) -> dict[str, Dimension]:
    """What was given as dimensions. Raises ValueError for what is none, and for what is fixed as well."""
    space = {}
    for name, ends in given.items():
        if name in fixed:
            raise ValueError(f"arm '{arm}' has '{name}' both in its space and in fixed; take it out of one")
        try:
            space[name] = as_dimension(ends)
        except ValueError as error:
            raise ValueError(f"the space of '{name}' in arm '{arm}': {error}") from error
    return space


def check_values(arm: str, of_run: Collection[str], space: Mapping[str, Dimension], fixed: Mapping[str, Any]) -> None:
    """Raise ValueError, naming the arm, for a batch size, a schedule or the like that no run could follow."""
    for name in of_run:
        if name in {*space, *fixed}:
            try:
                check_shared(name, space[name] if name in space else Choice((fixed[name],)))
            except ValueError as error:
                raise ValueError(f"arm '{arm}': {error}") from error


def check_missing(arm: str, method: Method, given: Collection[str]) -> None:
    """Raise ValueError, naming it, for a hyperparameter that has neither a default nor a value or a dimension."""
    for name, default in hyperparameters(method).items():
        if default is None and name not in given:
            raise ValueError(f"arm '{arm}' has no value for '{name}': put it into its space or into fixed")


def _check_known(arm: str, method: Method, name: str) -> None:
    known = hyperparameters(method)
    if name in known or name in offered(method) or (name == "weight_decay" and can_decay(method)):
        return
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean '{near[0]}'?" if near else f"it has {', '.join(known)}"
    raise ValueError(f"arm '{arm}' has no hyperparameter '{name}'; {hint}")
