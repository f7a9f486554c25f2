"""A node of the expression graph: what arithmetic on a rule's arguments builds instead of numbers.

What Python or another library would do with a number, and a rule can't, is refused in words that name the line.
"""

from __future__ import annotations

import difflib
import linecache
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from enum import IntEnum
from numbers import Real
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from fallline.symbolic.operations import LEAVES, OPERATIONS, REDUCTIONS

#: Lines of ours, which are no place in the user's code.
_HERE = (str(Path(__file__).parent), str(Path(__file__).parents[1] / "math.py"))

#: A file's name and a line in it.
Place = tuple[str, int]

#: The name of the rule that is being traced, for messages.
current_rule: ContextVar[str] = ContextVar("current_rule", default="")


class RuleError(TypeError):
    """A rule that can't be traced: the message names the rule, the line and the remedy."""


def refuse(problem: str, remedy: str, place: Place | None = None) -> RuleError:
    """Make the error for a place in the user's code: unless told, the innermost line of it that is running now."""
    filename, line = place or _running()
    source = linecache.getline(filename, line).strip()
    at = f"line {line}" + (f" (`{source}`)" if source else "")
    name = current_rule.get()
    where = f"rule '{name}', {at}" if name else at
    return RuleError(f"{where}: {problem}; {remedy}")


def raised_at(traceback: TracebackType | None) -> Place | None:
    """The innermost line that an exception came from."""
    place = None
    while traceback is not None:
        place = (traceback.tb_frame.f_code.co_filename, traceback.tb_lineno)
        traceback = traceback.tb_next
    return place


def _running() -> Place:
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HERE):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


NAMES = ("sqrt", "abs", "sign", "exp", "log", "minimum", "maximum", "where", "sum", "dot", "dimensions")
USE_MATH = f"use the functions of fallline.math: {', '.join(NAMES)}"
_COUNT = "sum(where(x == x, 1.0, 1.0))"
_MEAN = f"sum(x) / {_COUNT}"
#: What people look for in fallline.math, written with what there is.
WRITTEN = {
    "absolute": "abs(x)",
    "cbrt": "sign(x) * abs(x)**(1/3)",
    "clamp": "minimum(maximum(x, low), high)",
    "clip": "minimum(maximum(x, low), high)",
    "count": _COUNT,
    "cosh": "(exp(x) + exp(-x)) / 2",
    "expm1": "exp(x) - 1",
    "fabs": "abs(x)",
    "heaviside": "where(x > 0, 1.0, 0.0)",
    "hypot": "sqrt(x * x + y * y)",
    "isfinite": "x - x == 0",
    "isnan": "x != x",
    "lerp": "x + weight * (y - x)",
    "ln": "log(x)",
    "log10": "log(x) / log(10.0)",
    "log1p": "log(1 + x)",
    "log2": "log(x) / log(2.0)",
    "logsumexp": "log(sum(exp(x)))",
    "max": "maximum(x, y)",
    "mean": _MEAN,
    "min": "minimum(x, y)",
    "norm": "sqrt(dot(x, x))",
    "numel": _COUNT,
    "pow": "x**y",
    "power": "x**y",
    "reciprocal": "1 / x",
    "relu": "maximum(x, 0.0)",
    "rms": f"sqrt(dot(x, x) / {_COUNT})",
    "rsqrt": "1 / sqrt(x)",
    "sigmoid": "1 / (1 + exp(-x))",
    "sinh": "(exp(x) - exp(-x)) / 2",
    "size": _COUNT,
    "softmax": "exp(x) / sum(exp(x))",
    "softplus": "log(1 + exp(x))",
    "softsign": "x / (1 + abs(x))",
    "square": "x * x",
    "std": f"sqrt(dot(x - mean, x - mean) / {_COUNT}), with mean = {_MEAN}",
    "tanh": "1 - 2 / (exp(2 * x) + 1)",
    "var": f"dot(x - mean, x - mean) / {_COUNT}, with mean = {_MEAN}",
    "vdot": "dot(x, y)",
}


def instead_of(name: str) -> str:
    """What to write for a function that fallline.math does not have.

    >>> instead_of("norm"), instead_of("sqr")
    ('write sqrt(dot(x, x)) (all from fallline.math)', "did you mean 'sqrt'?")
    """
    if name in WRITTEN:
        return f"write {WRITTEN[name]} (all from fallline.math)"
    if name in NAMES:
        return USE_MATH
    near = difflib.get_close_matches(name, (*NAMES, *WRITTEN), 1, cutoff=0.7)
    if near and near[0] in WRITTEN:
        return f"'{near[0]}' is written {WRITTEN[near[0]]}"
    return f"did you mean '{near[0]}'?" if near else USE_MATH


_USE_OPERATORS = "write the formula with +, -, *, /, ** and the functions of fallline.math"
_EACH_ALIKE = "a rule sees each element alike; reduce with sum or dot"


class Refusals:
    """The methods that an expression has only to say what to write instead."""

    __slots__ = ()

    def __bool__(self) -> NoReturn:
        raise refuse(
            "a rule can't branch on a traced value (`if`, `and`, `or`, `not`, `min`, `max` need a truth value now)",
            "write where(condition, a, b), minimum(a, b) or maximum(a, b) from fallline.math",
        )

    def __float__(self) -> NoReturn:
        raise refuse("this function needs a plain number and got a traced value", USE_MATH)

    __int__ = __index__ = __complex__ = __float__

    def __round__(self, digits: object = None) -> NoReturn:
        raise refuse("a traced value can't be rounded (round needs a plain number)", _USE_OPERATORS)

    def __mod__(self, other: object) -> NoReturn:
        raise refuse("a rule has no remainder (%)", _USE_OPERATORS)

    __rmod__ = __divmod__ = __rdivmod__ = __mod__

    def __floordiv__(self, other: object) -> NoReturn:
        raise refuse("a rule has no integer division (//)", _USE_OPERATORS)

    __rfloordiv__ = __floordiv__

    def __matmul__(self, other: object) -> NoReturn:
        raise refuse("a rule has no matrix product (@)", "write dot(a, b) from fallline.math for an inner product")

    __rmatmul__ = __matmul__

    def __len__(self) -> NoReturn:
        raise refuse("a traced value has no length (len)", _EACH_ALIKE)

    def __iter__(self) -> NoReturn:
        raise refuse("a traced value can't be iterated or unpacked", "treat the tensor as one value")

    def __getitem__(self, index: object) -> NoReturn:
        raise refuse("a traced value can't be indexed", _EACH_ALIKE)

    def __setitem__(self, index: object, value: object) -> NoReturn:
        raise refuse("a traced value can't be indexed, nor assigned to", _EACH_ALIKE)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise refuse(f"a traced value has no method or attribute '{name}'", instead_of(name))

    def __array_function__(self, function: Any, types: object, args: object, kwargs: object) -> NoReturn:
        raise refuse(f"unknown function numpy.{function.__name__}", instead_of(function.__name__))

    @classmethod
    def __torch_function__(cls, function: Any, types: object, args: object = (), kwargs: object = None) -> NoReturn:
        name = getattr(function, "__name__", str(function))
        raise refuse(f"unknown function torch.{name}", instead_of(name))


class Rank(IntEnum):
    """How often a value differs: once a step, once a tensor, once a channel of it, or at every element."""

    SCALAR = 0
    SEGMENT = 1
    CHANNEL = 2
    ELEMENT = 3


class Expression(Refusals):
    """One operation on other expressions, or a leaf (a constant, a scalar's name, a tensor's name).

    Expressions compare and hash by identity; `==` between them builds a node, as every operator does.
    """

    __slots__ = ("args", "is_boolean", "operation", "rank", "value")

    def __init__(self, operation: str, *args: Expression, value: float | str | None = None) -> None:
        self.operation = operation
        self.args = args
        self.value = value
        self.is_boolean = operation in OPERATIONS and OPERATIONS[operation].boolean
        if operation in REDUCTIONS:
            self.rank = Rank.CHANNEL if operation == "channel_sum" else Rank.SEGMENT
        elif operation in LEAVES:
            self.rank = Rank.ELEMENT if operation == "tensor" else Rank.SCALAR
        else:
            self.rank = max(argument.rank for argument in args)

    def __repr__(self) -> str:
        # Not further down than the arguments: what shares nodes can be endless when it is written out.
        inside = [
            repr(part.value) if part is self else repr(part) if part.operation in LEAVES else f"{part.operation}(...)"
            for part in self.args or (self,)
        ]
        return f"{self.operation}({', '.join(inside)})"

    __hash__ = object.__hash__

    def __add__(self, other: object) -> Expression:
        return apply("add", self, other)

    def __radd__(self, other: object) -> Expression:
        return apply("add", other, self)

    def __sub__(self, other: object) -> Expression:
        return apply("subtract", self, other)

    def __rsub__(self, other: object) -> Expression:
        return apply("subtract", other, self)

    def __mul__(self, other: object) -> Expression:
        return apply("multiply", self, other)

    def __rmul__(self, other: object) -> Expression:
        return apply("multiply", other, self)

    def __truediv__(self, other: object) -> Expression:
        return apply("divide", self, other)

    def __rtruediv__(self, other: object) -> Expression:
        return apply("divide", other, self)

    def __pow__(self, other: object) -> Expression:
        return apply("power", self, other)

    def __rpow__(self, other: object) -> Expression:
        return apply("power", other, self)

    def __neg__(self) -> Expression:
        return apply("negative", self)

    def __pos__(self) -> Expression:
        return self

    def __abs__(self) -> Expression:
        return apply("abs", self)

    def __lt__(self, other: object) -> Expression:
        return apply("less", self, other)

    def __le__(self, other: object) -> Expression:
        return apply("less_equal", self, other)

    def __gt__(self, other: object) -> Expression:
        return apply("greater", self, other)

    def __ge__(self, other: object) -> Expression:
        return apply("greater_equal", self, other)

    def __eq__(self, other: object) -> Expression:  # type: ignore[override]
        return apply("equal", self, other)

    def __ne__(self, other: object) -> Expression:  # type: ignore[override]
        return apply("not_equal", self, other)

    def __and__(self, other: object) -> Expression:
        return apply("logical_and", self, other)

    def __or__(self, other: object) -> Expression:
        return apply("logical_or", self, other)

    def __invert__(self) -> Expression:
        return apply("logical_not", self)

    def __array_ufunc__(self, function: Any, method: str, *values: Any, **options: Any) -> Expression:
        """An operator between a NumPy number and an expression comes here; so does a function of NumPy's."""
        if method == "__call__" and function.__name__ in _OPERATORS and not isinstance(values[0], Expression):
            number, *others = values
            # Before a comparison NumPy makes an array without dimensions of its number.
            return apply(function.__name__, number.item() if getattr(number, "shape", None) == () else number, *others)
        raise refuse(f"unknown function numpy.{function.__name__}", instead_of(function.__name__))


#: What NumPy's numbers call when they stand left of an operator.
_OPERATORS = ("add", "subtract", "multiply", "divide", "power",
              "less", "less_equal", "greater", "greater_equal", "equal", "not_equal")  # fmt: skip


def wrap(value: object) -> Expression:
    """Take an expression as it is and a plain number as a constant; refuse the rest."""
    if isinstance(value, Expression):
        return value
    if isinstance(value, Real):  # NumPy's numbers too
        return Expression("constant", value=float(value))
    raise refuse(
        f"a rule can't combine its arguments with a {type(value).__name__}",
        "use numbers, the rule's own arguments and the functions of fallline.math",
    )


def apply(operation: str, *values: object) -> Expression:
    """Build the node of one operation of the table, checking what it is applied to."""
    args = tuple(wrap(value) for value in values)
    wanted = OPERATIONS[operation].takes_booleans
    for position, argument in enumerate(args):
        if argument.is_boolean != (wanted or (operation == "where" and position == 0)):
            raise refuse(
                f"{operation} got a {'truth value' if argument.is_boolean else 'number'} as argument {position + 1}",
                "turn a truth value into a number by where(condition, 1.0, 0.0), a number into one by comparing it",
            )
    return Expression(operation, *args)


def described(root: Expression) -> str:
    """A text that two expressions share if and only if they are built alike."""
    places: dict[Expression, int] = {}
    parts = []
    for node in walk((root,)):
        places[node] = len(places)
        parts.append(f"{node.operation} {node.value} {[places[argument] for argument in node.args]}")
    return "; ".join(parts)


def walk(roots: tuple[Expression, ...]) -> Iterator[Expression]:
    """Every node below the roots once, arguments before what uses them."""
    seen: set[Expression] = set()
    stack = [(root, False) for root in reversed(roots)]
    while stack:
        node, ready = stack.pop()
        if node in seen:
            continue
        if ready:
            seen.add(node)
            yield node
        else:
            stack.append((node, True))
            stack.extend((argument, False) for argument in reversed(node.args))
