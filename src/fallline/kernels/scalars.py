"""The host's share of a step: scalar expressions as one Python function, in double precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fallline.symbolic.expression import Expression, walk
from fallline.symbolic.operations import OPERATIONS

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
