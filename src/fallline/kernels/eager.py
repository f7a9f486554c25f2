"""The reference: the same graph, run operation by operation on NumPy arrays or torch tensors of any type."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from fallline.kernels.scalars import NUMPY, TORCH
from fallline.symbolic.expression import Expression, Rank, walk
from fallline.symbolic.plan import Plan

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
