"""A node of the expression graph: what arithmetic on a rule's arguments builds instead of numbers."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Any, NoReturn

from fallline.symbolic.errors import refuse
from fallline.symbolic.operations import LEAVES, OPERATIONS, REDUCTIONS


class Rank(IntEnum):
    """How often a value differs: once a step, once a tensor, once a channel of it, or at every element."""

    SCALAR = 0
    SEGMENT = 1
    CHANNEL = 2
    ELEMENT = 3


class Expression:
    """One operation on other expressions, or a leaf (a constant, a scalar's name, a tensor's name).

    Expressions compare and hash by identity; `==` between them builds a node, as every operator does.
    """

    __array_ufunc__: Any = None  # NumPy then leaves `array * expression` to us, where it is refused in words
    __slots__ = ("args", "is_boolean", "operation", "rank", "value")

    def __init__(self, operation: str, *args: Expression, value: float | str | None = None) -> None:
        self.operation = operation
        self.args = args
        self.value = value
        self.is_boolean = operation in OPERATIONS and OPERATIONS[operation].boolean
        if operation in REDUCTIONS:
            self.rank = Rank.SEGMENT if operation == "sum" else Rank.CHANNEL
        elif operation in LEAVES:
            self.rank = Rank.ELEMENT if operation == "tensor" else Rank.SCALAR
        else:
            self.rank = max(argument.rank for argument in args)

    def __repr__(self) -> str:
        inside = [repr(self.value)] if self.operation in LEAVES else [repr(argument) for argument in self.args]
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

    # What Python or another library would do with a number is refused here, in words.

    def __bool__(self) -> NoReturn:
        raise refuse(
            "a rule can't branch on a traced value (`if`, `and`, `or`, `not`, `min`, `max` need a truth value now)",
            "write where(condition, a, b), minimum(a, b) or maximum(a, b) from fallline.math",
        )

    def __float__(self) -> NoReturn:
        raise refuse("this function needs a plain number and got a traced value", _USE_MATH)

    __int__ = __index__ = __complex__ = __float__

    def __iter__(self) -> NoReturn:
        raise refuse("a traced value can't be iterated or unpacked", "treat the tensor as one value")

    def __getitem__(self, index: object) -> NoReturn:
        raise refuse("a traced value can't be indexed", "a rule sees each element alike; reduce with sum or dot")

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise refuse(f"a traced value has no method or attribute '{name}'", _USE_MATH)

    def __array_function__(self, function: Any, types: object, args: object, kwargs: object) -> NoReturn:
        raise refuse(f"unknown function numpy.{function.__name__}", _USE_MATH)

    @classmethod
    def __torch_function__(cls, function: Any, types: object, args: object = (), kwargs: object = None) -> NoReturn:
        raise refuse(f"unknown function torch.{getattr(function, '__name__', function)}", _USE_MATH)


_USE_MATH = "use the functions of fallline.math: " + ", ".join(
    ("sqrt", "abs", "sign", "exp", "log", "minimum", "maximum", "where", "sum", "dot")
)


def wrap(value: object) -> Expression:
    """Take an expression as it is and a plain number as a constant; refuse the rest."""
    if isinstance(value, Expression):
        return value
    if isinstance(value, (int, float)):  # numpy.float64 is a float too
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
