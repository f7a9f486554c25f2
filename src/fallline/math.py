"""What a rule may compute with: `from fallline.math import sqrt`.

On plain numbers the functions compute; on a rule's arguments they build the graph.
"""

from __future__ import annotations

import dis
import sys
from numbers import Real
from typing import TYPE_CHECKING, NoReturn

from fallline.symbolic.expression import Expression, Rank, apply, instead_of, refuse, wrap
from fallline.symbolic.operations import OPERATIONS

__all__ = ["abs", "dimensions", "dot", "exp", "log", "maximum", "minimum", "sign", "sqrt", "sum", "where"]

Value = Expression | float


def _call(operation: str, *values: Value) -> Expression:
    # Annotated as Expression: inside a rule nearly everything is one, and a float behaves alike.
    if any(isinstance(value, Expression) for value in values):
        return apply(operation, *values)
    if all(isinstance(value, Real) for value in values):
        return OPERATIONS[operation].compute(*values)  # type: ignore[return-value]
    raise refuse(
        f"{operation} got a {' and a '.join(type(value).__name__ for value in values)}",
        "use numbers and the rule's own arguments",
    )


def sqrt(x: Value) -> Expression:
    """Square root.

    >>> sqrt(9.0)
    3.0
    """
    return _call("sqrt", x)


def abs(x: Value) -> Expression:
    """Absolute value."""
    return _call("abs", x)


def sign(x: Value) -> Expression:
    """-1, 0 or 1; NaN stays NaN."""
    return _call("sign", x)


def exp(x: Value) -> Expression:
    """Exponential function."""
    return _call("exp", x)


def log(x: Value) -> Expression:
    """Natural logarithm."""
    return _call("log", x)


def minimum(a: Value, b: Value) -> Expression:
    """The smaller of two; NaN if either is."""
    return _call("minimum", a, b)


def maximum(a: Value, b: Value) -> Expression:
    """The larger of two; NaN if either is."""
    return _call("maximum", a, b)


def where(condition: Expression | bool, a: Value, b: Value) -> Expression:
    """`a` where the condition holds, `b` elsewhere: a rule's way to branch.

    >>> where(2 > 1, 5.0, 6.0)
    5.0
    """
    if not isinstance(condition, Expression) and not getattr(condition, "ndim", 0) and condition in (True, False):
        return a if condition else b  # type: ignore[return-value]
    return apply("where", condition, a, b)


def dimensions() -> Expression:
    """The number of dimensions of the parameter: 1 for a bias, 2 for a matrix, 4 for an image filter."""
    return Expression("scalar", value="dimensions")


def sum(x: Expression, *, channels: bool = False, all_tensors: bool = False) -> Expression:
    """Sum over the whole tensor, over each of its channels, or over all tensors that the optimizer moves.

    A channel is one index of the first dimension; a tensor of one dimension or none is a single channel. The sum over
    all tensors takes in those whose rules take the same sum, and that have a gradient.
    """
    if channels and all_tensors:
        raise refuse("sum over channels and over all tensors at once", "choose one of the two")
    x = wrap(x)
    if x.rank < (Rank.ELEMENT if channels else Rank.CHANNEL):
        raise refuse("sum of a value that has no elements to sum", "sum over an expression of p, g or a state")
    return Expression("channel_sum" if channels else "joint_sum" if all_tensors else "sum", x)


def dot(a: Expression, b: Expression, *, channels: bool = False, all_tensors: bool = False) -> Expression:
    """Inner product over what `sum` sums over; `sqrt(dot(x, x))` is a norm."""
    return sum(wrap(a) * wrap(b), channels=channels, all_tensors=all_tensors)


if not TYPE_CHECKING:

    def __getattr__(name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        # `from fallline.math import norm` would put words of Python's in the place of an AttributeError's.
        caller = sys._getframe(1)
        imported = caller.f_code.co_code[caller.f_lasti] == dis.opmap["IMPORT_FROM"]
        error = ImportError if imported else AttributeError
        raise error(f"fallline.math has no '{name}'; {instead_of(name)}")
