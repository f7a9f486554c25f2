"""Tracing: a rule's function, called with symbols, leaves a graph; the graph is checked before anybody uses it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from numbers import Real
from types import CodeType, FrameType
from typing import Any, Protocol

from fallline.symbolic.expression import Expression, RuleError, current_rule, raised_at, refuse, walk
from fallline.symbolic.operations import LEAVES, NAMES, OPERATIONS, WRITTEN, Rank, instead_of
from fallline.symbolic.state import State


class Formula(Protocol):
    """What tracing asks of a rule, which stands above it."""

    name: str
    states: tuple[State, ...]
    hyperparameters: Mapping[str, Any]
    uses_t: bool

    @property
    def function(self) -> Callable[..., Any]:
        """The formula itself."""

    @property
    def codes(self) -> frozenset[CodeType]:
        """The code objects whose local variables are the formula's own."""

    def __call__(self, p: Any, g: Any, /, *states: Any, **hyperparameters: Any) -> tuple[Any, ...]:
        """Apply the formula; returns (update, *new states)."""


@dataclass(frozen=True, eq=False)
class Graph:
    """One step of a rule: the update and the new states as expressions of p, g, the states and the scalars.

    Args:
        rule: What was traced.
        states: Its states.
        update: What is taken off the parameter.
        new_states: What every state becomes, in the order of the signature.
        names: The local variables of the formula, so that the printed equation can use them too.
    """

    rule: Formula
    states: tuple[State, ...]
    update: Expression
    new_states: dict[str, Expression]
    names: dict[Expression, str] = field(repr=False, default_factory=dict)

    @property
    def roots(self) -> tuple[Expression, ...]:
        """The update, then the new states."""
        return (self.update, *self.new_states.values())

    @property
    def scalars(self) -> tuple[str, ...]:
        """The scalars that the step depends on: hyperparameters, `t`, states that are numbers, `absent_...` flags."""
        return tuple(dict.fromkeys(str(node.value) for node in walk(self.roots) if node.operation == "scalar"))


@lru_cache(maxsize=512)
def trace(rule: Formula, **static: Any) -> Graph:
    """Call the rule with symbols, and with what is settled, in the order of `rule.static`; check what it returns."""
    names = [spec.name for spec in rule.states]
    arguments = [Expression("tensor", value=name) for name in ("p", "g")]
    arguments += [Expression("tensor" if spec.kind == "tensor" else "scalar", value=spec.name) for spec in rule.states]
    hyperparameters: dict[str, Any] = {
        name: static[name] if name in static else Expression("scalar", value=name) for name in rule.hyperparameters
    }
    if rule.uses_t:
        hyperparameters["t"] = Expression("scalar", value="t")
    token = current_rule.set(rule.name)
    try:
        with _LocalNames(rule.codes) as local_names:
            result = rule(*arguments, **hyperparameters)
    except NameError as error:
        # Most often one of the dialect's functions that was not imported.
        remedy = "take it as a keyword-only hyperparameter, or define it before it is used"
        if error.name in NAMES:
            remedy = f"write `from fallline.math import {error.name}` above the rule"
        elif error.name in WRITTEN:
            remedy = instead_of(error.name)
        raise refuse(str(error), remedy, raised_at(error.__traceback__)) from error
    finally:
        current_rule.reset(token)
    outputs = _checked(rule, result)
    return Graph(rule, rule.states, outputs[0], dict(zip(names, outputs[1:], strict=True)), local_names.found)


def _checked(rule: Formula, result: tuple[Any, ...]) -> list[Expression]:
    line = rule.function.__code__.co_firstlineno
    if len(result) != 1 + len(rule.states):
        names = ", ".join(spec.name for spec in rule.states) or "none"
        raise RuleError(
            f"rule '{rule.name}', line {line}: returned {len(result)} values, but its signature has "
            f"{len(rule.states)} states ({names}); return the update, then every new state in that order"
        )
    outputs = []
    for label, value in zip(("the update", *(spec.name for spec in rule.states)), result, strict=True):
        if isinstance(value, Real) and not isinstance(value, bool):
            value = Expression("constant", value=float(value))
        if not isinstance(value, Expression) or value.is_boolean:
            raise RuleError(
                f"rule '{rule.name}', line {line}: {label} is a "
                f"{'truth value' if isinstance(value, Expression) else type(value).__name__}; "
                "return an expression of the rule's arguments"
            )
        outputs.append(value)
    for spec, value in zip(rule.states, outputs[1:], strict=True):
        if spec.kind != "tensor" and value.rank > Rank.SEGMENT:
            raise RuleError(
                f"rule '{rule.name}', line {line}: the {spec.kind} state '{spec.name}' is one number, but its new "
                "value differs from element to element; reduce it by sum or dot"
            )
    return outputs


class _LocalNames:
    """Notes the formula's local variables as its functions return: `m_hat` prints as it is called."""

    def __init__(self, codes: frozenset[CodeType]) -> None:
        self._codes = codes
        self.found: dict[Expression, str] = {}

    def _watch(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "return" and frame.f_code in self._codes:
            for name, value in frame.f_locals.items():
                if isinstance(value, Expression) and value.operation not in LEAVES:
                    self.found.setdefault(value, name)

    def __enter__(self) -> _LocalNames:
        self._before = sys.getprofile()
        sys.setprofile(self._watch)
        return self

    def __exit__(self, *error: object) -> None:
        if self._before is None or callable(self._before):
            sys.setprofile(self._before)
        else:  # cProfile's, which is begun by itself
            sys.setprofile(None)
            self._before.enable()


_ZERO = Expression("constant", value=0.0)
#: Operations that give zero if their first argument is zero.
_KEEP_ZERO = ("multiply", "divide", *(o.name for o in OPERATIONS.values() if o.arity == 1 and o.compute(0.0) == 0.0))


@lru_cache(maxsize=512)
def rests_without_gradient(graph: Graph) -> bool:
    """Whether a zero gradient gives a zero update and leaves every state as it was, by the formula alone.

    Rows that a sparse gradient skips may then be left out.

    Args:
        graph: A rule's step.

    >>> from fallline.rules import adagrad, adam
    >>> rests_without_gradient(adagrad.trace()), rests_without_gradient(adam.trace())
    (True, False)
    """
    stays: dict[Expression, Expression] = {}
    for node in walk(graph.roots):
        stays[node] = _without_gradient(node, [stays[argument] for argument in node.args])
    return stays[graph.update] is _ZERO and all(stays[node].is_tensor(name) for name, node in graph.new_states.items())


def _without_gradient(node: Expression, args: list[Expression]) -> Expression:
    """What a node is where the gradient is zero: zero, one of its arguments, or itself."""
    if (node.operation, node.value) in (("tensor", "g"), ("constant", 0.0)):
        return _ZERO
    if node.operation in _KEEP_ZERO and args[0] is _ZERO:
        return _ZERO
    match node.operation:
        case "multiply" if args[1] is _ZERO:
            return _ZERO
        case "add" | "subtract" if args[1] is _ZERO:
            return args[0]
        case "add" if args[0] is _ZERO:
            return args[1]
    return node
