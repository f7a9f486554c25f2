"""Rewriting a graph before it is run: equal nodes become one, constants fold, divisions by a scalar multiply."""

from __future__ import annotations

import math
from collections.abc import Callable

from fallline.symbolic.expression import Expression, Rank, walk
from fallline.symbolic.operations import LEAVES, OPERATIONS, REDUCTIONS

Roots = tuple[Expression, ...]


def simplify(roots: Roots) -> Roots:
    """The same values from fewer nodes."""
    unique: dict[tuple[object, ...], Expression] = {}
    new: dict[Expression, Expression] = {}

    def intern(node: Expression) -> Expression:
        # By its text, in which 0.0 is not -0.0.
        return unique.setdefault((node.operation, repr(node.value), *map(id, node.args)), node)

    for node in walk(roots):
        args = tuple(new[argument] for argument in node.args)
        rebuilt = node if args == () else Expression(node.operation, *args, value=node.value)
        new[node] = intern(_rewrite(rebuilt, intern))
    return tuple(new[root] for root in roots)


def _rewrite(node: Expression, intern: Callable[[Expression], Expression]) -> Expression:
    if node.operation not in LEAVES and node.operation not in REDUCTIONS and all(map(_is_constant, node.args)):
        folded = _fold(node)
        if folded is not None:
            return folded
    a, b = (*node.args, None, None)[:2]
    match node.operation:
        case "add" if _is(b, -0.0):  # the one that leaves every number as it is: -0.0 + 0.0 is 0.0
            return node.args[0]
        case "add" if _is(a, -0.0):
            return node.args[1]
        case "subtract" if _is(b, 0.0):
            return node.args[0]
        case "multiply" | "divide" if _is(b, 1.0):
            return node.args[0]
        case "multiply" if _is(a, 1.0):
            return node.args[1]
        case "power" if _is(b, 1.0):
            return node.args[0]
        case "power" if _is(b, 2.0):
            return Expression("multiply", node.args[0], node.args[0])
        case "multiply" if node.args[0].operation == node.args[1].operation == "negative":
            return Expression("multiply", node.args[0].args[0], node.args[1].args[0])
        case "negative" if node.args[0].operation == "negative":
            return node.args[0].args[0]
        case "divide" if node.args[0].rank > Rank.SEGMENT and node.args[1].rank == Rank.SCALAR:
            # One division on the host instead of one at every element.
            one = intern(Expression("constant", value=1.0))
            return Expression("multiply", node.args[0], intern(Expression("divide", one, node.args[1])))
    return node


def _is_constant(node: Expression) -> bool:
    return node.operation == "constant"


def _is(node: Expression | None, value: float) -> bool:
    return node is not None and node.operation == "constant" and repr(node.value) == repr(value)


def _fold(node: Expression) -> Expression | None:
    if node.is_boolean or node.operation == "where":
        return None
    value = float(OPERATIONS[node.operation].compute(*(argument.value for argument in node.args)))
    # What came out of finite numbers as none is left to run time, and to the printed equation.
    return Expression("constant", value=value) if math.isfinite(value) else None
