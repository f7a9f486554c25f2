"""Whether a rule rests where there is no gradient, so that rows which a sparse gradient skips may be left out."""

from __future__ import annotations

from functools import lru_cache

from fallline.symbolic.expression import Expression, walk
from fallline.symbolic.graph import Graph
from fallline.symbolic.operations import REDUCTIONS

_ZERO = Expression("constant", value=0.0)
#: Operations that give zero if their first argument is zero.
_KEEP_ZERO = ("multiply", "divide", "negative", "sqrt", "abs", "sign", *REDUCTIONS)


@lru_cache(maxsize=512)
def rests_without_gradient(graph: Graph) -> bool:
    """Whether a zero gradient gives a zero update and leaves every state as it was, by the formula alone.

    >>> from fallline.rules import adagrad, adam
    >>> rests_without_gradient(adagrad.trace()), rests_without_gradient(adam.trace())
    (True, False)
    """
    stays: dict[Expression, Expression] = {}
    for node in walk(graph.roots):
        stays[node] = _without_gradient(node, [stays[argument] for argument in node.args])
    return stays[graph.update] is _ZERO and all(
        (value.operation, value.value) == ("tensor", name)
        for name, value in ((name, stays[node]) for name, node in graph.new_states.items())
    )


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
