"""The operations that an expression can hold: how many arguments, what they cost, how plain numbers compute them."""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Operation:
    """One row of the table: arity, whether the result is a truth value, and the same operation on Python floats."""

    arity: int
    compute: Callable[..., float | bool]
    boolean: bool = False
    takes_booleans: bool = False


def _sign(x: float) -> float:
    return x if x != x else float((x > 0) - (x < 0))


def _minimum(a: float, b: float) -> float:
    return a if a < b or a != a else b


def _maximum(a: float, b: float) -> float:
    return a if a > b or a != a else b


OPERATIONS: dict[str, Operation] = {
    "add": Operation(2, operator.add),
    "subtract": Operation(2, operator.sub),
    "multiply": Operation(2, operator.mul),
    "divide": Operation(2, operator.truediv),
    "negative": Operation(1, operator.neg),
    "power": Operation(2, math.pow),
    "sqrt": Operation(1, math.sqrt),
    "abs": Operation(1, abs),
    "sign": Operation(1, _sign),
    "exp": Operation(1, math.exp),
    "log": Operation(1, math.log),
    "minimum": Operation(2, _minimum),
    "maximum": Operation(2, _maximum),
    "where": Operation(3, lambda condition, a, b: a if condition else b),
    "less": Operation(2, operator.lt, boolean=True),
    "less_equal": Operation(2, operator.le, boolean=True),
    "greater": Operation(2, operator.gt, boolean=True),
    "greater_equal": Operation(2, operator.ge, boolean=True),
    "equal": Operation(2, operator.eq, boolean=True),
    "not_equal": Operation(2, operator.ne, boolean=True),
    "logical_and": Operation(2, lambda a, b: a and b, boolean=True, takes_booleans=True),
    "logical_or": Operation(2, lambda a, b: a or b, boolean=True, takes_booleans=True),
    "logical_not": Operation(1, operator.not_, boolean=True, takes_booleans=True),
}

#: Reductions take one argument and change the rank: over the whole tensor, over all tensors,
#: or over each channel of a tensor.
REDUCTIONS = ("sum", "joint_sum", "channel_sum")
#: What stands at the ends of the graph.
LEAVES = ("constant", "scalar", "tensor")
