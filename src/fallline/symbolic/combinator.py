"""Combinators, which make a rule of a rule."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

from fallline.symbolic.expression import RuleError
from fallline.symbolic.rule import Rule
from fallline.symbolic.state import Signature


class Combinator:
    """What `combinator` makes: call it with a rule to get the combined rule.

    Args:
        function: What takes a rule and returns a step.
    """

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
        """Combine with a rule: the signatures merge, the combinator's own states come first.

        Args:
            rule: The rule inside.

        Raises:
            RuleError: It is no rule, or both parts have a state or a hyperparameter of one name.
        """
        if not isinstance(rule, Rule):
            raise RuleError(f"{self.__name__} combines with a rule; it got a {type(rule).__name__}")
        if rule not in self._made:  # the same parts are the same rule, so they share a graph and a kernel
            step = self.function(rule)
            if not isinstance(step, FunctionType):
                raise RuleError(
                    f"combinator '{self.__name__}' returned a {type(step).__name__}; "
                    "define a function step(p, g, *states, **hyperparameters) in it and return that"
                )
            self._made[rule] = _merge(self, step, rule)
        return self._made[rule]


def combinator(function: Callable[[Rule], Callable[..., Any]]) -> Combinator:
    """Make a combinator of a function that takes a rule and returns a step.

    The step is written as a rule is, and calls the rule inside with what it hands on.

    Args:
        function: What takes a rule and returns the step, a Python function.

    Returns:
        The combinator: called with a rule it gives the combined one.

    Raises:
        RuleError: It is given anything else than a Python function.

    >>> from fallline.rules import gradient_descent
    >>> @combinator
    ... def halved(rule):
    ...     def step(p, g, *states, **hyperparameters):
    ...         update, *states = rule(p, g, *states, **hyperparameters)
    ...         return 0.5 * update, *states
    ...     return step
    >>> halved(gradient_descent)
    <rule halved(gradient_descent)>
    """
    if not isinstance(function, FunctionType):
        raise RuleError(
            f"combinator got a {type(function).__name__}; "
            "it makes a combinator of a Python function that takes a rule and returns a step"
        )
    return Combinator(function)


def _merge(combinator: Combinator, step: FunctionType, inner: Rule) -> Rule:
    """One rule from a combinator's step and the rule inside it."""
    name = f"{combinator.__name__}({inner.name})"
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
    doc = " ".join(text.strip() for text in (inner.__doc__, combinator.__doc__) if text)
    uses_t = signature.uses_t or inner.uses_t
    return Rule(step, name, states, hyperparameters, uses_t, (combinator, (inner,)), doc, len(signature.states))
