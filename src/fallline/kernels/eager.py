"""Without a compiler: the host's scalars as one Python function, and the reference, operation by operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fallline.symbolic.expression import Expression, Rank, walk
from fallline.symbolic.operations import OPERATIONS
from fallline.symbolic.plan import Plan

_INFIX = {
    "add": "+", "subtract": "-", "multiply": "*", "divide": "/",
    "less": "<", "less_equal": "<=", "greater": ">", "greater_equal": ">=", "equal": "==", "not_equal": "!=",
}  # fmt: skip


def _numpy_power(a: Any, b: Any) -> Any:
    # np.power takes an exponent of 0.5 for a square root, which -inf has none of.
    return np.float_power(a, b).astype(np.result_type(a, b))


def _torch_number(text: str) -> torch.Tensor:
    return torch.tensor(float(text), dtype=torch.float64, device="cpu")


def _torch_sign(x: torch.Tensor) -> torch.Tensor:
    return torch.where(x != x, x, torch.sign(x))  # torch's own makes 0 of NaN


#: The operations that are no operators, by NumPy and by torch.
NUMPY: dict[str, Callable[..., Any]] = {
    "power": _numpy_power,
    "sqrt": np.sqrt, "abs": np.abs, "sign": np.sign, "exp": np.exp, "log": np.log, "minimum": np.minimum,
    "maximum": np.maximum, "where": np.where, "logical_and": np.logical_and, "logical_or": np.logical_or,
    "logical_not": np.logical_not,
}  # fmt: skip
TORCH: dict[str, Callable[..., Any]] = {
    "power": torch.pow,
    "sqrt": torch.sqrt, "abs": torch.abs, "sign": _torch_sign, "exp": torch.exp, "log": torch.log,
    "minimum": torch.minimum, "maximum": torch.maximum, "where": torch.where, "logical_and": torch.logical_and,
    "logical_or": torch.logical_or, "logical_not": torch.logical_not,
}  # fmt: skip
_PYTHON: dict[str, Callable[..., Any]] = {
    name: operation.compute for name, operation in OPERATIONS.items() if name not in _INFIX
} | {"number": float}


class HostScalars:
    """Evaluates scalar expressions from the values of hyperparameters, t and what else they name.

    `names` is the order in which `values` and `columns` take these; `count` the number of expressions.
    """

    def __init__(self, expressions: tuple[Expression, ...], names: tuple[str, ...]) -> None:
        self.names = names
        self.count = len(expressions)
        source = _function(expressions, names)
        self._fast = _compile(source, _PYTHON)
        self._safe = _compile(source, {**NUMPY, "number": np.float64})
        self._torch = _compile(source, {**TORCH, "number": _torch_number})

    def values(self, *given: float) -> tuple[float, ...]:
        """One number for each hoisted expression."""
        try:
            return self._fast(*given)  # type: ignore[no-any-return]
        except (ArithmeticError, ValueError):
            # Division by zero and the like: infinities and NaN, as they are in the tensors.
            with np.errstate(all="ignore"):
                return tuple(float(value) for value in self._safe(*map(np.float64, given)))

    def tensors(self, *given: float | torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The same with tensors among the values, in double precision, for autograd to follow."""
        numbers = (
            value.to(torch.float64)
            if isinstance(value, torch.Tensor)
            else torch.tensor(value, dtype=torch.float64, device="cpu")
            for value in given
        )
        return self._torch(*numbers)  # type: ignore[no-any-return]

    def columns(self, given: Mapping[str, NDArray[np.float64] | float], rows: int) -> NDArray[np.float64]:
        """The same for many rows at once: [rows, count] from an array or one number for each name."""
        out = np.empty((rows, max(1, self.count)))
        with np.errstate(all="ignore"):
            for column, value in enumerate(self._safe(*(np.float64(given[name]) for name in self.names))):
                out[:, column] = value
        return out


def _function(roots: tuple[Expression, ...], names: tuple[str, ...]) -> str:
    lines = [f"def evaluate({', '.join(f'_{name}' for name in names)}):"]
    known: dict[Expression, str] = {}
    for node in walk(roots):
        if node.operation == "constant":
            known[node] = f"number('{node.value}')"
        elif node.operation == "scalar":
            known[node] = f"_{node.value}"
        else:
            known[node] = f"x{len(known)}"
            lines.append(f"    {known[node]} = {_written(node, [known[argument] for argument in node.args])}")
    ends = "".join(f"{known[root]}, " for root in roots)
    return "\n".join([*lines, f"    return ({ends})"]) + "\n"


def _written(node: Expression, values: list[str]) -> str:
    if node.operation == "negative":
        return f"-{values[0]}"
    if node.operation in _INFIX:
        return f"{values[0]} {_INFIX[node.operation]} {values[1]}"
    return f"{node.operation}({', '.join(values)})"


def _compile(source: str, functions: Mapping[str, Callable[..., Any]]) -> Callable[..., Any]:
    namespace: dict[str, Any] = dict(functions)
    exec(compile(source, "<fallline scalars>", "exec"), namespace)
    return namespace["evaluate"]  # type: ignore[no-any-return]


Array = Any

_OPERATORS: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "negative": lambda a: -a,
    "less": lambda a, b: a < b,
    "less_equal": lambda a, b: a <= b,
    "greater": lambda a, b: a > b,
    "greater_equal": lambda a, b: a >= b,
    "equal": lambda a, b: a == b,
    "not_equal": lambda a, b: a != b,
}


def evaluate(plan: Plan, tensors: Mapping[str, Array], scalars: Sequence[Any]) -> tuple[Array, dict[str, Array]]:
    """The update and the new states that a step computes for one tensor; changes nothing.

    `tensors` holds p, g and the states, all NumPy arrays or all torch tensors of one shape; `scalars` what the
    plan's hoisted expressions come to, as numbers or, beside torch tensors, as tensors. Half-precision tensors are
    computed with in float32. Sums over all tensors are over this one.
    """
    return Evaluation(plan, tensors, scalars).results()


class Evaluation:
    """The values of a plan's expressions for one tensor, each computed when it is first asked for."""

    def __init__(self, plan: Plan, tensors: Mapping[str, Array], scalars: Sequence[Any]) -> None:
        self._plan = plan
        self._tensors = tensors
        self._library = _Torch(tensors["p"]) if isinstance(tensors["p"], torch.Tensor) else _NumPy(tensors["p"])
        self._values: dict[Expression, Any] = {
            node: self._library.number(scalar, node.is_boolean)
            for node, scalar in zip(plan.hoisted, scalars, strict=True)
        }

    def value(self, root: Expression) -> Any:
        """An expression's value."""
        with np.errstate(all="ignore"):
            for node in walk((root,)):
                if node not in self._values and (node.rank > Rank.SCALAR or node.operation == "constant"):
                    self._values[node] = _value(node, self._values, self._tensors, self._library)
        return self._values[root]

    def take(self, reduction: Expression, value: Any) -> None:
        """Let a sum over all tensors be what it is over all of them."""
        self._values[reduction] = self._library.number(value, False)

    def results(self) -> tuple[Array, dict[str, Array]]:
        """The update and the new states."""
        roots = (self._plan.update, *self._plan.new_states.values())
        update, *states = (self._library.like_parameter(self.value(root), root.operation == "tensor") for root in roots)
        return update, dict(zip(self._plan.new_states, states, strict=True))


def _value(node: Expression, values: dict[Expression, Any], tensors: Mapping[str, Array], library: Any) -> Any:
    if node.operation == "constant":
        return library.number(node.value, False)
    if node.operation == "tensor":
        return library.take(tensors[str(node.value)])
    if node.operation in ("sum", "joint_sum"):
        return library.sum(values[node.args[0]])
    if node.operation == "channel_sum":
        return library.channel_sum(values[node.args[0]])
    inner = node.rank == Rank.ELEMENT
    arguments = [
        library.narrow(values[a]) if inner and a.rank < Rank.ELEMENT and not a.is_boolean else values[a]
        for a in node.args
    ]
    function = _OPERATORS.get(node.operation) or library.functions[node.operation]
    return function(*arguments)


class _NumPy:
    """NumPy's share: numbers beside tensors are taken in the tensors' type, sums in float64."""

    functions = NUMPY

    def __init__(self, p: Any) -> None:
        self.shape = p.shape
        self.dtype = np.promote_types(p.dtype, np.float32)

    def number(self, value: float, boolean: bool) -> Any:
        return np.bool_(value) if boolean else np.float64(value)

    def take(self, array: Any) -> Any:
        return np.asarray(array, self.dtype)

    def narrow(self, value: Any) -> Any:
        return np.asarray(value, self.dtype)

    def sum(self, array: Any) -> Any:
        return np.sum(array, dtype=np.float64)

    def channel_sum(self, array: Any) -> Any:
        return np.sum(array, axis=_channel_axes(array.ndim), dtype=np.float64, keepdims=True)

    def like_parameter(self, value: Any, is_input: bool) -> Any:
        # A copy of what was handed in, which may be written over before this is read.
        return np.broadcast_to(np.array(value, self.dtype, copy=True if is_input else None), self.shape)


class _Torch:
    """Torch's share: as NumPy's, on the parameter's device; autograd can follow."""

    functions = TORCH

    def __init__(self, p: torch.Tensor) -> None:
        self.shape = p.shape
        self.device = p.device
        self.dtype = torch.promote_types(p.dtype, torch.float32)

    def number(self, value: float, boolean: bool) -> Any:
        if isinstance(value, torch.Tensor):
            return value.to(self.device)
        return torch.tensor(
            bool(value) if boolean else value, dtype=None if boolean else torch.float64, device=self.device
        )

    def take(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self.dtype)

    def narrow(self, value: torch.Tensor) -> torch.Tensor:
        return value.to(self.dtype)

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.sum(dtype=torch.float64)

    def channel_sum(self, tensor: torch.Tensor) -> torch.Tensor:
        axes = _channel_axes(tensor.dim())
        return tensor.sum(axes, keepdim=True, dtype=torch.float64) if axes else tensor.to(torch.float64)

    def like_parameter(self, value: torch.Tensor, is_input: bool) -> torch.Tensor:
        return value.to(self.dtype, copy=is_input).expand(self.shape)


def _channel_axes(dimensions: int) -> tuple[int, ...]:
    """All but the first of several dimensions; all of fewer, which are a single channel."""
    return tuple(range(1, dimensions)) if dimensions > 1 else tuple(range(dimensions))
