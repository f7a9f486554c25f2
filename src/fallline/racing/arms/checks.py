"""Whether something can enter a race, and whether its space can be searched."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Collection, Mapping
from typing import Any

import torch

from fallline import rules
from fallline.racing.arms.default_arms import DEFAULT_ARMS
from fallline.racing.arms.dimensions import Choice, Dimension, as_dimension
from fallline.racing.arms.hyperparameters import Method, can_decay, hyperparameters, kind_of, label
from fallline.racing.arms.shared_dimensions import check_shared, offered
from fallline.racing.arms.spaces import space_of
from fallline.symbolic import Rule
from fallline.training import needs_closure
from fallline.training.errors import is_text
from fallline.training.method_name import find_method

#: Around which a function's learning rate without a default is searched, where nothing is known of what it makes.
_RATE = 1e-3


def check_name(arm: Any) -> None:
    """Raise ValueError for what is no name."""
    if not arm or not isinstance(arm, str):
        raise ValueError(f"an arm needs a name; got {said(arm)}")
    if not is_text(arm):
        raise ValueError(f"an arm needs a name that can be written down; {arm!r} holds a lone surrogate, half a letter")


def own_name(optimizer: Any) -> str:
    """What an arm is called that is given nothing but its optimizer: a function without a name after what it makes."""
    if isinstance(optimizer, Rule):
        known = next((name for name, rule in DEFAULT_ARMS.items() if rule is optimizer), None)
        return known or rules.name_of(optimizer)
    if isinstance(optimizer, str):
        return rules.plain_name(optimizer)
    if isinstance(optimizer, functools.partial):
        return own_name(optimizer.func)
    name = getattr(optimizer, "__name__", "")
    if not name.isidentifier() and inspect.isfunction(optimizer):
        return getattr(kind_of(optimizer), "__name__", name)
    return str(name)


def check_method(arm: str, given: Any) -> Method:
    """The rule, class or function of an arm; a class that is one rule and nothing else is that rule.

    Raises ValueError for an arm without a name, for a name that nothing has, and where a step needs a closure or a
    function has no learning rate; TypeError for what is none of these.
    """
    check_name(arm)
    if isinstance(given, str):
        try:
            given = find_method(rules.plain_name(given))
        except LookupError as error:
            raise ValueError(f"arm '{arm}': {error.args[0]}") from error
    if isinstance(given, Rule):
        return given
    kind = kind_of(given) if inspect.isfunction(given) else given
    if not inspect.isfunction(given) and not (isinstance(given, type) and issubclass(given, torch.optim.Optimizer)):
        raise TypeError(
            f"the optimizer of arm '{arm}' is {said(given)}; it must be a rule or its name, a torch.optim.Optimizer "
            "class, or a function such as lambda params, lr: torch.optim.Adam(params, lr=lr)"
        )
    if isinstance(kind, type) and not issubclass(kind, torch.optim.Optimizer):
        raise TypeError(
            f"arm '{arm}': the function returned {kind.__name__}; it must return a torch.optim.Optimizer, as "
            "lambda params, lr: torch.optim.Adam(params, lr=lr) does"
        )
    if kind is not None and needs_closure(kind):
        raise ValueError(
            f"arm '{arm}': {kind.__name__} needs a closure that evaluates the batch again, and a race takes plain "
            "steps; leave it out, and train with it by fallline.fit"
        )
    if inspect.isfunction(given) and not hyperparameters(given).keys() - {"weight_decay"}:
        raise ValueError(
            f"arm '{arm}': the function has nothing that a race could search; give it a learning rate, as in "
            "lambda params, lr: torch.optim.Adam(params, lr=lr), or train with it by fallline.fit"
        )
    followed: Method = vars(given).get("follows", given) if isinstance(given, type) else given
    return followed


def said(thing: Any) -> str:
    """A thing as a sentence can name it, whatever its `repr` does."""
    try:
        return f"{thing!r} of type {type(thing).__name__}"
    except Exception:
        return f"of type {type(thing).__name__}"


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
    default = hyperparameters(method).get("lr") or (_RATE if inspect.isfunction(method) else None)
    rate = space_of(label(method), "lr", default)
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
