"""Combinators: functions that take a rule and return a rule, traced through as one graph."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

from fallline.symbolic.errors import RuleError
from fallline.symbolic.rule import Rule
from fallline.symbolic.signature import Signature


class Combinator:
    """What `combinator` makes: call it with a rule to get the combined rule."""

    def __init__(self, function: Callable[[Rule], Callable[..., Any]]) -> None:
        self.function = function
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__
        self.__module__ = function.__module__ or "__main__"  # what `exec` made may have none
        self.__qualname__ = function.__qualname__
        self._made: dict[Rule, Rule] = {}

    def __repr__(self) -> str:
        return f"<combinator {self.__name__}>"

    def __reduce__(self) -> str:
        return self.__qualname__

    def __call__(self, rule: Rule) -> Rule:
        """Combine with a rule: the signatures merge, the combinator's own states come first."""
        if not isinstance(rule, Rule):
            raise RuleError(f"{self.__name__} combines with a rule; it got a {type(rule).__name__}")
        if rule not in self._made:  # the same parts are the same rule, so they share a graph and a kernel
            step = self.function(rule)
            if not isinstance(step, FunctionType):
                raise RuleError(
                    f"combinator '{self.__name__}' returned a {type(step).__name__}; "
                    "define a function step(p, g, *states, **hyperparameters) in it and return that"
                )
            self._made[rule] = merge(f"{self.__name__}({rule.name})", step, rule, (self, (rule,)))
        return self._made[rule]


def combinator(function: Callable[[Rule], Callable[..., Any]]) -> Combinator:
    """Make a combinator of a function that takes a rule and returns a step.

    >>> from fallline.rules import gradient_descent
    >>> @combinator
    ... def halved(rule):
    ...     def step(p, g, *states, **hyperparameters):
    ...         update, *states = rule(p, g, *states, **hyperparameters)
    ...         return 0.5 * update, *states
    ...     return step
    >>> halved(gradient_descent)
    <rule halved(gradient_descent)>

    Raises RuleError if it is given anything else than a Python function.
    """
    if not isinstance(function, FunctionType):
        raise RuleError(
            f"combinator got a {type(function).__name__}; "
            "it makes a combinator of a Python function that takes a rule and returns a step"
        )
    return Combinator(function)


def merge(name: str, step: FunctionType, inner: Rule, made_of: tuple[Any, tuple[Any, ...]]) -> Rule:
    """One rule from a combinator's step and the rule inside it."""
    signature = Signature.read(step, name)
    own, inner_states = signature.hyperparameters, {state.name for state in inner.states}
    for state in signature.states:
        if state.name in inner_states or state.name in inner.hyperparameters:
            raise RuleError(f"rule '{name}': the state '{state.name}' stands in both parts; rename one of them")
    for key in own:
        if key in inner_states:
            raise RuleError(f"rule '{name}': the hyperparameter '{key}' has the name of a state; rename one of them")
        if own[key] is not None and key in inner.hyperparameters:
            raise RuleError(
                f"rule '{name}': both parts have the hyperparameter '{key}'; rename one, "
                "or let the step take it without a default and hand it on"
            )
    hyperparameters = {
        **inner.hyperparameters,
        **{key: value if value is not None else inner.hyperparameters.get(key) for key, value in own.items()},
    }
    states = (*signature.states, *inner.states)
    doc = " ".join(text.strip() for text in (inner.__doc__, made_of[0].__doc__) if text)
    uses_t = signature.uses_t or inner.uses_t
    return Rule(step, name, states, hyperparameters, uses_t, made_of, doc, len(signature.states))
