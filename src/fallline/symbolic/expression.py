"""A node of the expression graph: what arithmetic on a rule's arguments builds instead of numbers."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from numbers import Real
from typing import Any

from fallline.symbolic.errors import refuse
from fallline.symbolic.operations import LEAVES, OPERATIONS, REDUCTIONS
from fallline.symbolic.refusals import Refusals, instead_of


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
