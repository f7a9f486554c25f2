"""A node of the expression graph: what arithmetic on a rule's arguments builds instead of numbers.

What Python or another library would do with a number, and a rule can't, is refused in words that name the line.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from numbers import Real
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from fallline.symbolic.operations import LEAVES, OPERATIONS, USE_MATH, Rank, instead_of

#: Lines of ours, which are no place in the user's code.
_HERE = (str(Path(__file__).parent), str(Path(__file__).parents[1] / "math.py"), "<fallline.math>")

#: A file's name and a line in it.
Place = tuple[str, int]

#: The name of the rule that is being traced, for messages.
current_rule: ContextVar[str] = ContextVar("current_rule", default="")


class RuleError(TypeError):
    """A rule that can't be traced: the message names the rule, the line and the remedy."""


def refuse(problem: str, remedy: str, place: Place | None = None) -> RuleError:
    """Make the error for a place in the user's code.

    Args:
        problem: What is wrong.
        remedy: What to do instead.
        place: The file's name and the line; None for the innermost line of the user's that is running now.
    """
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


def _refused(problem: str, remedy: str) -> Callable[..., NoReturn]:
    """A method that is there only to say what to write instead."""

    def method(self: object, *others: object) -> NoReturn:
        raise refuse(problem, remedy)

    return method


_USE_OPERATORS = "write the formula with +, -, *, /, ** and the functions of fallline.math"
_EACH_ALIKE = "a rule sees each element alike; reduce with sum or dot"


class Refusals:
    """What Python, NumPy and torch ask of numbers and arrays, and a traced value does not have."""

    __slots__ = ()

    __bool__ = _refused(
        "a rule can't branch on a traced value (`if`, `and`, `or`, `not`, `min`, `max` need a truth value now)",
        "write where(condition, a, b), minimum(a, b) or maximum(a, b) from fallline.math",
    )
    __float__ = _refused("this function needs a plain number and got a traced value", USE_MATH)
    __int__ = __index__ = __complex__ = __float__
    __round__ = _refused("a traced value can't be rounded (round needs a plain number)", _USE_OPERATORS)
    __mod__ = __rmod__ = __divmod__ = __rdivmod__ = _refused("a rule has no remainder (%)", _USE_OPERATORS)
    __floordiv__ = __rfloordiv__ = _refused("a rule has no integer division (//)", _USE_OPERATORS)
    __matmul__ = __rmatmul__ = _refused(
        "a rule has no matrix product (@)", "write dot(a, b) from fallline.math for an inner product"
    )
    __len__ = _refused("a traced value has no length (len)", _EACH_ALIKE)
    __iter__ = _refused("a traced value can't be iterated or unpacked", "treat the tensor as one value")
    __getitem__ = _refused("a traced value can't be indexed", _EACH_ALIKE)
    __setitem__ = _refused("a traced value can't be indexed, nor assigned to", _EACH_ALIKE)

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


Operator = Callable[..., "Expression"]


def _operators(operation: str) -> tuple[Operator, Operator]:
    """The methods of an operator, by what stands left of it, if anything: the expression, or another value."""
    return lambda self, *other: apply(operation, self, *other), lambda self, other: apply(operation, other, self)


class Expression(Refusals):
    """One operation on other expressions, or a leaf (a constant, a scalar's name, a tensor's name).

    Expressions compare and hash by identity; `==` between them builds a node, as every operator does.

    Args:
        operation: A name in the table of operations, or "constant", "scalar" or "tensor".
        *args: What it is applied to.
        value: A leaf's number or name.
    """

    __slots__ = ("args", "is_boolean", "operation", "rank", "value")

    def __init__(self, operation: str, *args: Expression, value: float | str | None = None) -> None:
        self.operation = operation
        self.args = args
        self.value = value
        if operation in LEAVES:
            self.is_boolean = False
            self.rank = Rank.ELEMENT if operation == "tensor" else Rank.SCALAR
        else:
            record = OPERATIONS[operation]
            self.is_boolean = record.boolean
            self.rank = max(argument.rank for argument in args) if record.rank is None else record.rank

    def __repr__(self) -> str:
        # Not further down than the arguments: what shares nodes can be endless when it is written out.
        inside = [
            repr(part.value) if part is self else repr(part) if part.operation in LEAVES else f"{part.operation}(...)"
            for part in self.args or (self,)
        ]
        return f"{self.operation}({', '.join(inside)})"

    __hash__ = object.__hash__

    __add__, __radd__ = _operators("add")
    __sub__, __rsub__ = _operators("subtract")
    __mul__, __rmul__ = _operators("multiply")
    __truediv__, __rtruediv__ = _operators("divide")
    __pow__, __rpow__ = _operators("power")
    # Python turns a comparison round by itself.
    __lt__ = _operators("less")[0]
    __le__ = _operators("less_equal")[0]
    __gt__ = _operators("greater")[0]
    __ge__ = _operators("greater_equal")[0]
    __eq__ = _operators("equal")[0]  # type: ignore[assignment]
    __ne__ = _operators("not_equal")[0]  # type: ignore[assignment]
    __and__ = _operators("logical_and")[0]
    __or__ = _operators("logical_or")[0]
    __invert__ = _operators("logical_not")[0]
    __neg__ = _operators("negative")[0]
    __abs__ = _operators("abs")[0]

    def __pos__(self) -> Expression:
        return self

    def is_tensor(self, name: str) -> bool:
        """Whether it is the tensor of a name, as it was before the step.

        Args:
            name: p, g or a state's.
        """
        return self.operation == "tensor" and self.value == name

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
    """Take an expression as it is and a plain number as a constant.

    Args:
        value: What stands in a formula.

    Raises:
        RuleError: It is neither.
    """
    if isinstance(value, Expression):
        return value
    if isinstance(value, Real):  # NumPy's numbers too
        return Expression("constant", value=float(value))
    raise refuse(
        f"a rule can't combine its arguments with a {type(value).__name__}",
        "use numbers, the rule's own arguments and the functions of fallline.math",
    )


def apply(operation: str, *values: object) -> Expression:
    """Build the node of one operation of the table.

    Args:
        operation: Its name.
        *values: Expressions and numbers.

    Raises:
        RuleError: A value is a truth value where a number is wanted, a number where a truth value is, or neither.
    """
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
    """A text that two expressions share if and only if they are built alike.

    Args:
        root: The expression.
    """
    places: dict[Expression, int] = {}
    parts = []
    for node in walk((root,)):
        places[node] = len(places)
        parts.append(f"{node.operation} {node.value} {[places[argument] for argument in node.args]}")
    return "; ".join(parts)


def walk(
    roots: tuple[Expression, ...], ends: Callable[[Expression], bool] = lambda node: False
) -> Iterator[Expression]:
    """Every node below the roots once, arguments before what uses them.

    Args:
        roots: Where to begin.
        ends: Whether to go no further down from a node; by default all the way to the leaves.
    """
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
            stack.extend((argument, False) for argument in reversed(() if ends(node) else node.args))
