"""A rule: an update formula as a Python function, its signature read as a contract."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from types import CodeType
from typing import TYPE_CHECKING, Any

from fallline.symbolic.errors import RuleError
from fallline.symbolic.expression import Expression, wrap
from fallline.symbolic.state import State, _StateDefault

if TYPE_CHECKING:
    from fallline.symbolic.cost import Cost
    from fallline.symbolic.graph import Graph

Hyperparameter = float | bool | str
#: Names that mean something else to whoever calls a rule or keeps its states.
_RESERVED = {"p", "g", "t", "params", "param_names", "step", "rule", "self"}


class Rule:
    """An update rule. Made by `rule` from a function, or by a combinator from another rule.

    `states` in the order of the signature; `hyperparameters` with their defaults (None: must be given);
    `uses_t` says whether the formula names the step count t.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        name: str,
        states: tuple[State, ...],
        hyperparameters: Mapping[str, Hyperparameter | None],
        uses_t: bool,
        made_of: tuple[Any, tuple[Any, ...]] | None = None,
        doc: str | None = None,
        own_states: int | None = None,
    ) -> None:
        self.function = function
        self.name = name
        self.states = states
        self.hyperparameters = dict(hyperparameters)
        self.uses_t = uses_t
        self.__doc__ = doc or function.__doc__
        self.__module__ = function.__module__
        self.__qualname__ = function.__qualname__
        self.__wrapped__ = function
        self._made_of = made_of
        self._own_states = len(states) if own_states is None else own_states

    def __repr__(self) -> str:
        return f"<rule {self.name}>"

    def __reduce__(self) -> Any:
        # A decorated function pickles by its name, as functions do; a composed rule by what it is composed of.
        return self.__qualname__ if self._made_of is None else self._made_of

    def __copy__(self) -> Rule:
        return self

    def __deepcopy__(self, memo: object) -> Rule:
        return self

    def __call__(self, p: Any, g: Any, /, *states: Any, **hyperparameters: Any) -> Any:
        """Apply the formula inside another rule or a combinator; returns (update, *new states)."""
        named = {"p": p, "g": g, **hyperparameters}
        begun = []
        for i, (spec, value) in enumerate(zip(self.states, states, strict=True)):
            # The states of a rule inside begin there, with the gradient that it is given.
            if (
                i < self._own_states
                and callable(spec.init)
                and isinstance(value, Expression)
                and value.operation == "tensor"
            ):
                absent = Expression(
                    "not_equal", Expression("scalar", value=spec.absent), Expression("constant", value=0.0)
                )
                value = Expression("where", absent, wrap(spec.initial(named)), value)
            begun.append(value)
        result = self.function(p, g, *begun, **hyperparameters)
        return result if isinstance(result, tuple) else (result,)

    @cached_property
    def codes(self) -> frozenset[CodeType]:
        """The code objects of this rule and of the rules that it is composed of."""
        inner = self._made_of[1] if self._made_of else ()
        return frozenset({self.function.__code__}).union(*(part.codes for part in inner if isinstance(part, Rule)))

    @property
    def defaults(self) -> dict[str, Hyperparameter]:
        """The hyperparameters that have defaults."""
        return {name: value for name, value in self.hyperparameters.items() if value is not None}

    @property
    def static(self) -> tuple[str, ...]:
        """Hyperparameters that are settled while tracing: truth values and strings."""
        return tuple(name for name, value in self.hyperparameters.items() if isinstance(value, (bool, str)))

    def trace(self, **static: bool | str) -> Graph:
        """The expression graph, for the given values of the static hyperparameters.

        Raises RuleError, naming the line and the remedy, if the function can't be traced.
        """
        return _trace(self, tuple(sorted({**{name: self.defaults[name] for name in self.static}, **static}.items())))

    def latex(self, **static: bool | str) -> str:
        """The equations of one step, from the graph that runs.

        >>> from fallline.rules import momentum
        >>> print(momentum.latex())
        \\begin{aligned}
        b_t &= \\mu b_{t-1} + g_t \\\\
        \\theta_t &= \\theta_{t-1} - \\eta b_t
        \\end{aligned}
        """
        from fallline.symbolic.latex import equations

        return equations(self.trace(**static))

    def cost(self, itemsize: int = 4, **static: bool | str) -> Cost:
        """Bytes moved, operations and bytes of state per parameter, for numbers of `itemsize` bytes."""
        from fallline.symbolic.cost import cost

        return cost(self.trace(**static), itemsize)


@lru_cache(maxsize=512)
def _trace(rule: Rule, static: tuple[tuple[str, Any], ...]) -> Graph:
    from fallline.symbolic.graph import trace

    return trace(rule, dict(static))


def rule(function: Callable[..., Any]) -> Rule:
    """Make a rule of a function `(p, g, *states, *, hyperparameters)` that returns `(update, *new states)`.

    The update is what is taken off the parameter. Positional arguments after the gradient are states: tensors
    like the parameter that start at zero (or as `state(init=...)` says). Keyword-only arguments are the
    hyperparameters; `t`, if named, is the tensor's own step count from 1. Numbers may change at any step;
    truth values and strings are settled while tracing.

    Raises RuleError if the signature or the formula can't be a rule.

    >>> from fallline.math import sqrt
    >>> @rule
    ... def my_rmsprop(p, g, v, *, lr=1e-2, alpha=0.99, eps=1e-8):
    ...     v = alpha * v + (1 - alpha) * g * g
    ...     return lr * g / (sqrt(v) + eps), v
    >>> my_rmsprop.states
    (State(name='v', init=0.0),)
    """
    if not inspect.isfunction(function):
        raise RuleError(f"rule got a {type(function).__name__}; it makes a rule of a Python function")
    states, hyperparameters, uses_t = read_signature(function)
    if len(states) < 2:
        raise RuleError(f"rule '{function.__name__}' must take the parameter and the gradient first: (p, g, ...)")
    for kind, names in (("state", [spec.name for spec in states[2:]]), ("hyperparameter", hyperparameters)):
        for name in names:
            if name in _RESERVED or name.startswith("absent_"):
                raise RuleError(f"rule '{function.__name__}': '{name}' can't name a {kind}; choose another name")
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise RuleError(
                f"rule '{function.__name__}': '{parameter}' hides what the rule takes; "
                "name every state and hyperparameter"
            )
    made = Rule(function, function.__name__, tuple(states[2:]), hyperparameters, uses_t)
    made.trace()
    return made


def read_signature(function: Callable[..., Any]) -> tuple[list[State], dict[str, Hyperparameter | None], bool]:
    """Positional arguments as states (the first two are p and g), hyperparameters with defaults, and t or not."""
    name, line = function.__name__, function.__code__.co_firstlineno
    states: list[State] = []
    hyperparameters: dict[str, Hyperparameter | None] = {}
    uses_t = False
    for parameter in inspect.signature(function).parameters.values():
        default = None if parameter.default is parameter.empty else parameter.default
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            states.append(State(parameter.name, _initial(name, line, parameter.name, default)))
        elif parameter.kind is parameter.KEYWORD_ONLY and parameter.name == "t":
            uses_t = True
        elif parameter.kind is parameter.KEYWORD_ONLY:
            hyperparameters[parameter.name] = _number(name, line, parameter.name, default)
    return states, hyperparameters, uses_t


def _initial(rule_name: str, line: int, state_name: str, default: object) -> float | Callable[..., Any]:
    if default is None:
        return 0.0
    if isinstance(default, _StateDefault):
        return default.init
    raise RuleError(
        f"rule '{rule_name}', line {line}: the state '{state_name}' has the default {default!r}, "
        "as hyperparameters do; "
        f"put hyperparameters behind a `*`, or write {state_name}=state(init={default!r}) for a state"
    )


def _number(rule_name: str, line: int, hyperparameter: str, default: Any) -> Hyperparameter | None:
    if default is None or isinstance(default, (int, float, str)):
        return default
    raise RuleError(
        f"rule '{rule_name}', line {line}: the hyperparameter '{hyperparameter}' has the default {default!r}; "
        "it must be a number, a truth value or a string (give two numbers two names: beta1, beta2)"
    )
