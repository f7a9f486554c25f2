"""Without a compiler: the host's scalars as one Python function, and the reference, operation by operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fallline.symbolic import OPERATIONS, Expression, Plan, Rank, walk

Array = Any

#: What the sources of operations name, by the library that they are written for.
_NAMES: dict[str, dict[str, Any]] = {
    "python": {name: operation.compute for name, operation in OPERATIONS.items()} | {"number": float},
    "numpy": {"np": np, "number": np.float64},
    "torch": {"torch": torch, "number": lambda text: torch.tensor(float(text), dtype=torch.float64, device="cpu")},
}


def _functions(library: str) -> dict[str, Callable[..., Any]]:
    """Every operation as a function of NumPy's arrays or of torch's tensors."""
    letters = ("a", "b", "c")
    lines = [
        f"{name!r}: lambda {', '.join(letters[: operation.arity])}: {getattr(operation, library).format(*letters)}"
        for name, operation in OPERATIONS.items()
    ]
    return eval(f"{{{', '.join(lines)}}}", _NAMES[library])  # type: ignore[no-any-return]


class HostScalars:
    """Evaluates scalar expressions from the values of hyperparameters, t and what else they name.

    Args:
        expressions: What to evaluate; `count` is their number.
        names: The order in which `values` and `tensors` take what these name.
    """

    def __init__(self, expressions: tuple[Expression, ...], names: tuple[str, ...]) -> None:
        self.names = names
        self.count = len(expressions)
        self._expressions = expressions
        self._fast = self._written("python")

    @cached_property
    def _safe(self) -> Callable[..., Any]:
        return self._written("numpy")

    @cached_property
    def _torch(self) -> Callable[..., Any]:
        return self._written("torch")

    def values(self, *given: float) -> tuple[float, ...]:
        """One number for each expression.

        Args:
            *given: A number for each name.
        """
        try:
            return self._fast(*given)  # type: ignore[no-any-return]
        except (ArithmeticError, ValueError):
            # Division by zero and the like: infinities and NaN, as they are in the tensors.
            with np.errstate(all="ignore"):
                return tuple(float(value) for value in self._safe(*map(np.float64, given)))

    def tensors(self, *given: float | torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The same with tensors among the values, in double precision, for autograd to follow.

        Args:
            *given: A number or a tensor for each name.
        """
        numbers = (
            value.to(torch.float64)
            if isinstance(value, torch.Tensor)
            else torch.tensor(value, dtype=torch.float64, device="cpu")
            for value in given
        )
        return self._torch(*numbers)  # type: ignore[no-any-return]

    def columns(self, given: Mapping[str, NDArray[np.float64] | float], rows: int) -> NDArray[np.float64]:
        """The same for many rows at once.

        Args:
            given: For each name an array of `rows` numbers, or one number for all.
            rows: How many.

        Returns:
            The numbers, [rows, count].
        """
        out = np.empty((rows, max(1, self.count)))
        with np.errstate(all="ignore"):
            for column, value in enumerate(self._safe(*(np.float64(given[name]) for name in self.names))):
                out[:, column] = value
        return out

    def _written(self, library: str) -> Callable[..., Any]:
        """One function of all expressions, in a library's own words."""
        lines = [f"def evaluate({', '.join(f'_{name}' for name in self.names)}):"]
        known: dict[Expression, str] = {}
        for node in walk(self._expressions):
            if node.operation == "constant":
                known[node] = f"number('{node.value}')"
            elif node.operation == "scalar":
                known[node] = f"_{node.value}"
            else:
                text = getattr(OPERATIONS[node.operation], library)
                known[node] = f"x{len(known)}"
                lines.append(f"    {known[node]} = {text.format(*(known[argument] for argument in node.args))}")
        ends = "".join(f"{known[root]}, " for root in self._expressions)
        lines.append(f"    return ({ends})")
        namespace = dict(_NAMES[library])
        exec(compile("\n".join(lines), "<fallline scalars>", "exec"), namespace)
        return namespace["evaluate"]  # type: ignore[no-any-return]


@lru_cache(maxsize=512)
def host_scalars(plan: Plan) -> HostScalars:
    """The host's function of a plan's hoisted expressions, made once.

    Args:
        plan: A rule's step.
    """
    return HostScalars(plan.hoisted, plan.scalars)


@lru_cache(maxsize=512)
def host_numbers(plan: Plan) -> HostScalars:
    """The host's function of what the states that are numbers become, in the order of `plan.new_numbers`.

    Args:
        plan: A rule's step.
    """
    totals = (f"total_{i}" for i in range(len(plan.totals)))
    return HostScalars(tuple(plan.new_numbers.values()), (*plan.scalars, *totals))


def evaluate(plan: Plan, tensors: Mapping[str, Array], scalars: Sequence[Any]) -> tuple[Array, dict[str, Array]]:
    """The update and the new states that a step computes for one tensor; changes nothing.

    Half-precision tensors are computed with in float32. Sums over all tensors are over this one.

    Args:
        plan: A rule's step.
        tensors: p, g and the states, all NumPy arrays or all torch tensors of one shape.
        scalars: What the plan's hoisted expressions come to, as numbers or, beside torch tensors, as tensors.

    >>> from fallline.rules import momentum
    >>> from fallline.symbolic import make_plan
    >>> plan = make_plan(momentum.trace())
    >>> given = {"p": np.ones(2), "g": np.ones(2), "b": np.ones(2)}
    >>> update, states = evaluate(plan, given, host_scalars(plan).values(0.1, 0.9))
    >>> states["b"]
    array([1.9, 1.9])
    """
    return Evaluation(plan, tensors, scalars).results()


class Evaluation:
    """The values of a plan's expressions for one tensor, each computed when it is first asked for.

    Args:
        plan: A rule's step.
        tensors: As for `evaluate`.
        scalars: The same.
    """

    def __init__(self, plan: Plan, tensors: Mapping[str, Array], scalars: Sequence[Any]) -> None:
        self._plan = plan
        self._tensors = tensors
        self._library = _Torch(tensors["p"]) if isinstance(tensors["p"], torch.Tensor) else _NumPy(tensors["p"])
        self._values: dict[Expression, Any] = {
            node: self._library.number(scalar, node.is_boolean)
            for node, scalar in zip(plan.hoisted, scalars, strict=True)
        }

    def value(self, root: Expression) -> Any:
        """An expression's value.

        Args:
            root: A node of the plan.
        """
        with np.errstate(all="ignore"):
            for node in walk((root,)):
                if node not in self._values and (node.rank > Rank.SCALAR or node.operation == "constant"):
                    self._values[node] = _value(node, self._values, self._tensors, self._library)
        return self._values[root]

    def take(self, reduction: Expression, value: Any) -> None:
        """Let a sum over all tensors be what it is over all of them.

        Args:
            reduction: The sum.
            value: What it comes to.
        """
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
        return library.narrow(tensors[str(node.value)])
    inner = node.rank == Rank.ELEMENT
    arguments = [
        library.narrow(values[a]) if inner and a.rank < Rank.ELEMENT and not a.is_boolean else values[a]
        for a in node.args
    ]
    return library.functions[node.operation](*arguments)


class _NumPy:
    """NumPy's share: numbers beside tensors are taken in the tensors' type, sums in float64."""

    functions = _functions("numpy")

    def __init__(self, p: Any) -> None:
        self.shape = p.shape
        self.dtype = np.promote_types(p.dtype, np.float32)

    def number(self, value: float, boolean: bool) -> Any:
        return np.bool_(value) if boolean else np.float64(value)

    def narrow(self, value: Any) -> Any:
        return np.asarray(value, self.dtype)

    def like_parameter(self, value: Any, is_input: bool) -> Any:
        # A copy of what was handed in, which may be written over before this is read.
        return np.broadcast_to(np.array(value, self.dtype, copy=True if is_input else None), self.shape)


class _Torch:
    """Torch's share: as NumPy's, on the parameter's device; autograd can follow."""

    functions = _functions("torch")

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

    def narrow(self, value: torch.Tensor) -> torch.Tensor:
        return value.to(self.dtype)

    def like_parameter(self, value: torch.Tensor, is_input: bool) -> torch.Tensor:
        return value.to(self.dtype, copy=is_input).expand(self.shape)
