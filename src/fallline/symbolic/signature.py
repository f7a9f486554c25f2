"""A function's signature, read as a contract: what are its states, its hyperparameters, and does it count steps."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from types import FunctionType
from typing import Any

from fallline.symbolic.errors import RuleError
from fallline.symbolic.state import State, _StateDefault

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
            tuple(
                State(_named(where, "state", one), _initial(where, one), _kind(where, one)) for one in positional[2:]
            ),
            {_named(where, "hyperparameter", one): _number(where, one) for one in keywords if one.name != "t"},
            any(one.name == "t" for one in keywords),
            tuple(str(one) for one in parameters if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD)),
        )


def _named(where: str, kind: str, parameter: inspect.Parameter) -> str:
    if parameter.name in _RESERVED or parameter.name.startswith(("absent_", "total_")):
        raise RuleError(f"{where}: '{parameter.name}' can't name a {kind}; choose another name")
    return parameter.name


def _initial(where: str, parameter: inspect.Parameter) -> float | FunctionType:
    name, default = parameter.name, parameter.default
    if default is parameter.empty:
        return 0.0
    if not isinstance(default, _StateDefault):
        raise RuleError(
            f"{where}: the state '{name}' has the default {default!r}, as hyperparameters do; "
            f"put hyperparameters behind a `*`, or write {name}=state(init={default!r}) for a state"
        )
    if isinstance(default.init, Real):
        return float(default.init)
    if isinstance(default.init, FunctionType):
        return default.init
    raise RuleError(
        f"{where}: the state '{name}' begins with {default.init!r}, which is no number and no function; "
        f"write {name}=state(init=0.0), or a function of the rule's arguments: {name}=state(init=lambda g: g)"
    )


def _kind(where: str, parameter: inspect.Parameter) -> str:
    if parameter.default is parameter.empty:
        return "tensor"
    kind: str = parameter.default.kind
    if kind not in ("tensor", "scalar", "global"):
        raise RuleError(
            f"{where}: the state '{parameter.name}' is of kind {kind!r}; "
            "it must be 'tensor', 'scalar' (one number a tensor) or 'global' (one number for all tensors)"
        )
    if kind != "tensor" and not isinstance(parameter.default.init, Real):
        raise RuleError(
            f"{where}: the {kind} state '{parameter.name}' begins with {parameter.default.init!r}; "
            "it must begin with a number"
        )
    return kind


def _number(where: str, parameter: inspect.Parameter) -> Hyperparameter | None:
    default = None if parameter.default is parameter.empty else parameter.default
    if default is None or isinstance(default, (int, float, str)):
        return default
    raise RuleError(
        f"{where}: the hyperparameter '{parameter.name}' has the default {default!r}; "
        "it must be a number, a truth value or a string (give two numbers two names: beta1, beta2)"
    )
