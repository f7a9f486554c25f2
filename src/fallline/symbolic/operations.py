"""The operations that an expression can hold: how many arguments, what they cost, how plain numbers compute them."""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Operation:
    """One row of the table: arity, whether the result is a truth value, and the same operation on Python floats.

    `compute` gives infinities and NaN where the other forms do, and never raises.
    """

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


def _divide(a: float, b: float) -> float:
    if b != 0:
        return a / b
    return math.nan if a == 0 or a != a else math.copysign(math.inf, a) * math.copysign(1.0, b)


def _power(a: float, b: float) -> float:
    try:
        return math.pow(a, b)
    except OverflowError:
        return -math.inf if a < 0 and b % 2 == 1 else math.inf
    except ValueError:  # 0 to a negative power, or a root of a negative number
        return math.nan if a else math.copysign(math.inf, a) if b % 2 == 1 else math.inf


def _sqrt(x: float) -> float:
    return math.nan if x < 0 else math.sqrt(x)


def _exp(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf


def _log(x: float) -> float:
    if x == 0:
        return -math.inf
    return math.nan if x < 0 else math.log(x)


OPERATIONS: dict[str, Operation] = {
    "add": Operation(2, operator.add),
    "subtract": Operation(2, operator.sub),
    "multiply": Operation(2, operator.mul),
    "divide": Operation(2, _divide),
    "negative": Operation(1, operator.neg),
    "power": Operation(2, _power),
    "sqrt": Operation(1, _sqrt),
    "abs": Operation(1, abs),
    "sign": Operation(1, _sign),
    "exp": Operation(1, _exp),
    "log": Operation(1, _log),
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
