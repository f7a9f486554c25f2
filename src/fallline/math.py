"""What a rule may compute with: `from fallline.math import sqrt`.

On plain numbers the functions compute; on a rule's arguments they build the graph. Those of one number at a time are
made of the table of operations, here at the import.
"""

from __future__ import annotations

import dis
import inspect
import sys
from collections.abc import Callable
from numbers import Real
from typing import Any

from fallline.symbolic import NAMES, OPERATIONS, Expression, Operation, Rank, apply, instead_of, refuse, wrap

__all__ = sorted(NAMES)

Value = Expression | float


def where(condition: Expression | bool, a: Value, b: Value) -> Expression:
    """`a` where the condition holds, `b` elsewhere: a rule's way to branch.

    Args:
        condition: A comparison of a rule's arguments, or several joined by &, | and ~; or a plain truth value.
        a: A number, or an expression of a rule's arguments.
        b: The same.

    Returns:
        The expression; `a` or `b` itself for a plain truth value.

    Raises:
        RuleError: The condition is no truth value, or `a` or `b` is one.

    >>> where(2 > 1, 5.0, 6.0)
    5.0
    """
    if not isinstance(condition, Expression) and not getattr(condition, "ndim", 0) and condition in (True, False):
        return a if condition else b  # type: ignore[return-value]
    return apply("where", condition, a, b)


def dimensions() -> Expression:
    """The number of dimensions of the parameter: 1 for a bias, 2 for a matrix, 4 for an image filter.

    >>> dimensions()
    scalar('dimensions')
    """
    return Expression("scalar", value="dimensions")


def sum(x: Expression, *, channels: bool = False, all_tensors: bool = False) -> Expression:
    """Sum over the whole tensor, over each of its channels, or over all tensors that the optimizer moves.

    A channel is one index of the first dimension; a tensor of one dimension or none is a single channel. The sum over
    all tensors takes in those whose rules take the same sum, and that have a gradient.

    Args:
        x: An expression of a rule's arguments that differs from element to element.
        channels: Whether to sum over each channel by itself.
        all_tensors: Whether to sum over all tensors.

    Returns:
        One number a tensor, a channel or an optimizer, which every element sees.

    Raises:
        RuleError: `x` has no elements to sum, or both `channels` and `all_tensors` are asked for.

    >>> from fallline.symbolic import rule
    >>> @rule
    ... def centred(p, g, *, lr=0.1):
    ...     return lr * (g - sum(g) / sum(where(g == g, 1.0, 1.0)))
    >>> centred.cost().passes
    2
    """
    if channels and all_tensors:
        raise refuse("sum over channels and over all tensors at once", "choose one of the two")
    x = wrap(x)
    if x.rank < (Rank.ELEMENT if channels else Rank.CHANNEL):
        raise refuse("sum of a value that has no elements to sum", "sum over an expression of p, g or a state")
    return Expression("channel_sum" if channels else "joint_sum" if all_tensors else "sum", x)


def dot(a: Expression, b: Expression, *, channels: bool = False, all_tensors: bool = False) -> Expression:
    """Inner product over what `sum` sums over; `sqrt(dot(x, x))` is a norm.

    Args:
        a: An expression of a rule's arguments.
        b: The same, or a number.
        channels: Whether to take each channel by itself.
        all_tensors: Whether to sum over all tensors.

    Returns:
        One number a tensor, a channel or an optimizer, which every element sees.

    Raises:
        RuleError: As for `sum`.

    >>> from fallline.symbolic import rule
    >>> @rule
    ... def normalised(p, g, *, lr=0.1):
    ...     return lr * g / sqrt(dot(g, g))
    >>> normalised.cost().passes
    2
    """
    return sum(wrap(a) * wrap(b), channels=channels, all_tensors=all_tensors)


def _call(name: str, *values: Value) -> Any:
    if any(isinstance(value, Expression) for value in values):
        return apply(name, *values)
    if all(isinstance(value, Real) for value in values):
        return OPERATIONS[name].compute(*values)
    raise refuse(
        f"{name} got a {' and a '.join(type(value).__name__ for value in values)}",
        "use numbers and the rule's own arguments",
    )


_DOCUMENTATION = """{summary}

Args:
{listed}

Returns:
    A number for numbers, else the expression.

Raises:
    RuleError: An argument is neither a number nor an expression, or is a truth value.

>>> {name}({example})
{result!r}
"""


def _function(operation: Operation) -> Callable[..., Any]:
    """What rules call: an operation by its name, with its arguments."""
    names, example = operation.arguments.split(), (0.25, 4.0)[: operation.arity]
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature(
        [inspect.Parameter(name, kind, annotation="Expression | float") for name in names],
        return_annotation="Expression",
    )

    def function(*values: Value, **named: Value) -> Any:
        if named or len(values) != len(names):
            values = signature.bind(*values, **named).args
        return _call(operation.name, *values)

    function.__name__ = function.__qualname__ = operation.name
    function.__signature__ = signature  # type: ignore[attr-defined]
    function.__doc__ = _DOCUMENTATION.format(
        summary=operation.summary,
        listed="\n".join(f"    {name}: A number, or an expression of a rule's arguments." for name in names),
        name=operation.name,
        example=", ".join(map(str, example)),
        result=operation.compute(*example),
    )
    return function


globals().update((one.name, _function(one)) for one in OPERATIONS.values() if one.summary)


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    # `from fallline.math import norm` would put words of Python's in the place of an AttributeError's.
    caller = sys._getframe(1)
    imported = caller.f_code.co_code[caller.f_lasti] == dis.opmap["IMPORT_FROM"]
    error = ImportError if imported else AttributeError
    raise error(f"fallline.math has no '{name}'; {instead_of(name)}")
