"""A rule's signature, read as a contract: its states and what they begin with, its hyperparameters, its step count."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from types import FunctionType
from typing import Any

from fallline.symbolic.expression import Expression, RuleError, refuse, wrap


@dataclass(frozen=True)
class State:
    """What a rule keeps between steps.

    Args:
        name: What the rule's function calls it.
        init: What it holds before the first step: a number, or a function of the rule's arguments by name
            (`lambda g: g`), which is traced into the kernel and applies when the state is absent, whatever t is.
        kind: "tensor": like the parameter; "scalar": one number a tensor; "global": one number for all tensors, and
            a tensor that joins later begins with what the others have.
    """

    name: str
    init: float | FunctionType
    kind: str = "tensor"

    @property
    def fill(self) -> float:
        """The number that a newly made tensor holds."""
        return 0.0 if isinstance(self.init, FunctionType) else self.init

    @property
    def absent(self) -> str:
        """The name of the scalar that is 1 at the step at which the state is made, else 0."""
        return f"absent_{self.name}"

    def initial(self, values: dict[str, Any]) -> Expression:
        """Apply an `init` function to those of the rule's arguments that it names.

        Args:
            values: The rule's arguments by name, without the states.

        Raises:
            RuleError: The function names others, or gives no number.
        """
        assert isinstance(self.init, FunctionType)
        code = self.init.__code__
        place = (code.co_filename, code.co_firstlineno)
        names = list(inspect.signature(self.init).parameters)
        for name in names:
            if name not in values:
                raise refuse(
                    f"the init of the state '{self.name}' takes '{name}'",
                    f"it can take the rule's other arguments, but no states: {', '.join(values)}",
                    place,
                )
        value = self.init(**{name: values[name] for name in names})
        if isinstance(value, Real):
            return wrap(value)
        if isinstance(value, Expression) and not value.is_boolean:
            return value
        kind = "truth value" if isinstance(value, Expression) else type(value).__name__
        raise refuse(
            f"the init of the state '{self.name}' gives a {kind}",
            "it must give a number; turn a truth value into one by where(condition, 1.0, 0.0)",
            place,
        )


@dataclass(frozen=True)
class _StateDefault:
    kind: str
    init: float | Callable[..., Any]


def state(kind: str = "tensor", *, init: float | Callable[..., Any] = 0.0) -> Any:
    """Say, as the default of a rule's state, of what kind it is and what it holds before the first step.

    Args:
        kind: "tensor": like the parameter; "scalar": one number a tensor; "global": one number for all tensors of the
            optimizer, which should follow from sums over all of them.
        init: A number, or a function of the rule's arguments by name; for a tensor only.

    Returns:
        The default, which `rule` reads. What can't be one it refuses with a RuleError.

    >>> from fallline.symbolic import rule
    >>> @rule
    ... def average(p, g, m=state(init=lambda g: g), *, lr=0.1):
    ...     m = 0.9 * m + 0.1 * g
    ...     return lr * m, m
    >>> average.states[0].name
    'm'
    """
    return _StateDefault(kind, init)


Hyperparameter = float | bool | str
#: Names that mean something else to whoever calls a rule or keeps its states.
_RESERVED = {"p", "g", "t", "dimensions", "params", "param_names", "step", "rule", "self"}


@dataclass(frozen=True)
class Signature:
    """Positional arguments after the parameter and the gradient are states, keyword-only ones hyperparameters.

    A hyperparameter that must be given is None; `hides` lists what takes any number of arguments (`*states`).
    """

    takes_p_and_g: bool
    states: tuple[State, ...]
    hyperparameters: dict[str, Hyperparameter | None]
    uses_t: bool
    hides: tuple[str, ...]

    @classmethod
    def read(cls, function: Callable[..., Any], rule_name: str) -> Signature:
        """Read a function's signature. Raises RuleError, naming rule and line, if a default or a name can't be."""
        where = f"rule '{rule_name}', line {function.__code__.co_firstlineno}"
        parameters = list(inspect.signature(function).parameters.values())
        positional = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
        keywords = [one for one in parameters if one.kind is one.KEYWORD_ONLY]
        return cls(
            len(positional) >= 2,
            tuple(_state(where, one) for one in positional[2:]),
            {_named(where, "hyperparameter", one): _number(where, one) for one in keywords if one.name != "t"},
            any(one.name == "t" for one in keywords),
            tuple(str(one) for one in parameters if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD)),
        )


def _named(where: str, kind: str, parameter: inspect.Parameter) -> str:
    if parameter.name in _RESERVED or parameter.name.startswith(("absent_", "total_")):
        raise RuleError(f"{where}: '{parameter.name}' can't name a {kind}; choose another name")
    return parameter.name


def _state(where: str, parameter: inspect.Parameter) -> State:
    name, default = _named(where, "state", parameter), parameter.default
    if default is parameter.empty:
        return State(name, 0.0)
    if not isinstance(default, _StateDefault):
        raise RuleError(
            f"{where}: the state '{name}' has the default {default!r}, as hyperparameters do; "
            f"put hyperparameters behind a `*`, or write {name}=state(init={default!r}) for a state"
        )
    kind, init = default.kind, default.init
    if not isinstance(init, (Real, FunctionType)):
        raise RuleError(
            f"{where}: the state '{name}' begins with {init!r}, which is no number and no function; "
            f"write {name}=state(init=0.0), or a function of the rule's arguments: {name}=state(init=lambda g: g)"
        )
    if kind not in ("tensor", "scalar", "global"):
        raise RuleError(
            f"{where}: the state '{name}' is of kind {kind!r}; "
            "it must be 'tensor', 'scalar' (one number a tensor) or 'global' (one number for all tensors)"
        )
    if isinstance(init, Real):
        return State(name, float(init), kind)
    if kind != "tensor":
        raise RuleError(f"{where}: the {kind} state '{name}' begins with {init!r}; it must begin with a number")
    return State(name, init)


def _number(where: str, parameter: inspect.Parameter) -> Hyperparameter | None:
    default = None if parameter.default is parameter.empty else parameter.default
    if default is None or isinstance(default, (int, float, str)):
        return default
    raise RuleError(
        f"{where}: the hyperparameter '{parameter.name}' has the default {default!r}; "
        "it must be a number, a truth value or a string (give two numbers two names: beta1, beta2)"
    )
