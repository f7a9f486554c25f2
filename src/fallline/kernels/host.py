"""What hosts a rule at every step: rows of a table, or tensors moved operation by operation, with their numbers.

Whoever uses a host says where tensors lie, which rows share hyperparameters, and who counts the steps.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fallline.kernels.eager import Evaluation, host_numbers
from fallline.kernels.foreach import program
from fallline.kernels.numbers import Given, RowNumbers
from fallline.kernels.table import DTYPES, Kernel, SegmentTable, Sums, run_jointly
from fallline.symbolic.expression import Expression, described
from fallline.symbolic.plan import Plan

#: The types of tensors that there are kernels for, by the names that kernels have for them.
KERNEL_TYPES: dict[torch.dtype, str] = {getattr(torch, name): name for name in DTYPES}

#: The column of a table that holds the gradients' addresses.
_GRADIENT = 1


class TableHost(SegmentTable):
    """Rows of one kernel with their `numbers`: prepare these, run the table, alone or jointly, then finish and settle.

    Args:
        kernel: The kernel.
        tensors: A tensor of each row's shape; with `owners`, of the rows that it has in all lanes.
        addresses: Where p, g and the states of each row lie, [rows, columns], columns as in `kernel.columns`.
        given: What the rows' numbers follow from.
        owners: The lanes, numbered in the population; rows are ordered by tensor, then by lane. None: no lanes.
        copies: How often the rows that `given` speaks of are there: the number of tensors where these share numbers.
    """

    def __init__(
        self,
        kernel: Kernel,
        tensors: Sequence[Tensor],
        addresses: Sequence[Sequence[int]] | NDArray[np.int64],
        given: Given,
        owners: NDArray[np.int64] | None = None,
        copies: int = 1,
    ) -> None:
        lanes = 1 if owners is None else len(owners)
        sizes = [tensor.numel() for tensor in tensors for _ in range(lanes)]
        widths = [_channel(tensor) for tensor in tensors for _ in range(lanes)] if kernel.plan.uses_channels else None
        super().__init__(kernel, sizes, widths, None if owners is None else np.tile(owners, len(tensors)))
        self.addresses[:] = addresses
        #: Where the gradients of all rows lie, [rows]: to be written whenever they may lie elsewhere.
        self.gradients = self.addresses[:, _GRADIENT]
        scalars = self.scalars.reshape(copies, -1, self.scalars.shape[1])
        self.numbers = RowNumbers(kernel.scalars, kernel.new_numbers, given, scalars, self.totals)


class ForeachHost:
    """Tensors of one plan, type and device, moved by calls that take all that share their numbers at once.

    Args:
        plan: What is run.
        params: The parameters, whose gradients are taken as they are at each step.
        states: Their states by name.
        given: What their numbers follow from.
    """

    def __init__(
        self, plan: Plan, params: Sequence[Tensor], states: Mapping[str, Sequence[Tensor]], given: Given
    ) -> None:
        self._plan, self._params, self._states = plan, params, states
        self._real = torch.promote_types(params[0].dtype, torch.float32)
        self._program = program(plan, half=self._real != params[0].dtype)
        #: How many levels of sums there are before the writing.
        self.levels = len(plan.passes) - 1
        self._scalars = np.empty((len(params), max(1, self._program.scalars.count)))
        self._totals = np.empty((len(params), len(plan.totals)))
        self.numbers = RowNumbers(self._program.scalars, host_numbers(plan), given, self._scalars, self._totals)

    def run(self) -> None:
        """Take a step alone."""
        run_jointly([self])

    def reduce(self, level: int) -> Sums:
        """Compute shares of the sums over all tensors.

        Args:
            level: The level of sums.

        Returns:
            By what is summed, a number for the one owner.
        """
        if level == 0:
            self._parts = [*self._alike()]
        for part in self._parts:
            part.sums |= self._program.passes[level](part.tensors, part.sums, part.numbers, self._real)
        return {
            described(total.args[0]): np.array([sum(float(torch.stack(part.sums[name]).sum()) for part in self._parts)])
            for name, total in self._joint(level)
        }

    def share(self, level: int, sums: Sums) -> None:
        """Take the sums over all tensors.

        Args:
            level: The level of sums.
            sums: By what is summed, a number for the one owner.
        """
        for name, total in self._joint(level):
            joined = torch.tensor(
                float(sums[described(total.args[0])][0]), dtype=torch.float64, device=self._params[0].device
            )
            for part in self._parts:
                part.sums[name] = [joined] * len(part.rows)

    def write(self) -> None:
        """Move the parameters and their states."""
        if not self.levels:
            self._parts = [*self._alike()]
        for part in self._parts:
            self._program.passes[-1](part.tensors, part.sums, part.numbers, self._real)
            for column, total in enumerate(self._plan.totals if self._plan.new_numbers else ()):
                self._totals[part.rows, column] = _on_host(torch.stack(part.sums[self._plan.sum_names[total]]))
        del self._parts

    def _alike(self) -> Iterator[_Part]:
        """The tensors by what their numbers are."""
        if (self._scalars == self._scalars[0]).all():
            kinds, of = self._scalars[:1], np.zeros(len(self._scalars), np.int64)
        else:
            kinds, of = np.unique(self._scalars, axis=0, return_inverse=True)
        columns: dict[str, Sequence[Any]] = {**self._states, "p": self._params, "g": [p.grad for p in self._params]}
        for kind, numbers in enumerate(kinds):
            rows = np.flatnonzero(of == kind).tolist()
            tensors = {name: [column[row] for row in rows] for name, column in columns.items()}
            yield _Part(rows, tensors, tuple(numbers.tolist()))

    def _joint(self, level: int) -> list[tuple[str, Expression]]:
        reductions = self._plan.passes[level].reductions
        return [(self._plan.sum_names[one], one) for one in reductions if one.operation == "joint_sum"]


@dataclass
class _Part:
    """Tensors that share their numbers, with their sums by name."""

    rows: list[int]
    tensors: dict[str, list[Tensor]]
    numbers: tuple[float, ...]
    sums: dict[str, list[Tensor]] = field(default_factory=dict)


class EagerHost:
    """Tensors of one plan moved operation by operation, alone or in sums with others by `run_jointly`.

    Args:
        plan: What is run.
        store: Called as store(i, update, states, totals) with what becomes of tensor i: its update, its new states by
            name and, if the plan keeps numbers, the sums that these follow from, on the host.
        lanes: The lanes, numbered in the population, if tensors are stacked [lanes, ...]; the plan is mapped over them.
        differentiable: Whether autograd follows; sums then stay tensors.
    """

    def __init__(
        self,
        plan: Plan,
        store: Callable[[int, Tensor, dict[str, Tensor], list[Any]], None],
        lanes: NDArray[np.int64] | None = None,
        differentiable: bool = False,
    ) -> None:
        self._plan, self._store, self._lanes, self._differentiable = plan, store, lanes, differentiable
        #: How many levels of sums there are before the writing.
        self.levels = len(plan.passes) - 1
        self._needed = plan.totals if plan.new_numbers else ()

    def take(self, tensors: Sequence[Mapping[str, Tensor]], scalars: Sequence[Any] | Tensor) -> EagerHost:
        """Take what a step begins with.

        Args:
            tensors: p, g and the states of each tensor, by name.
            scalars: The scalars of each tensor: numbers, or for lanes [lanes, scalars].

        Returns:
            The host itself.
        """
        self._tensors, self._scalars = tensors, scalars
        self._joint: dict[Expression, Tensor] = {}
        if self._lanes is None:
            self._evaluations = [Evaluation(self._plan, *pair) for pair in zip(tensors, scalars, strict=True)]
        return self

    def reduce(self, level: int) -> Sums:
        """Compute shares of the sums over all tensors.

        Args:
            level: The level of sums.

        Returns:
            By what is summed, a number for each owner.
        """
        totals = self._joint_totals(level)
        if not totals:
            return {}
        shares = [self._ask(i, lambda values: [values.value(total) for total in totals]) for i in self._each()]
        return {
            described(total.args[0]): self._summed(parts)
            for total, parts in zip(totals, zip(*shares, strict=True), strict=True)
        }

    def share(self, level: int, sums: Sums) -> None:
        """Take the sums over all tensors.

        Args:
            level: The level of sums.
            sums: By what is summed, a number for each owner.
        """
        for total in self._joint_totals(level):
            joined = sums[described(total.args[0])]
            if self._lanes is None:
                for evaluation in self._evaluations:
                    evaluation.take(total, joined[0])
            else:
                self._joint[total] = torch.from_numpy(joined[self._lanes]).to(self._tensors[0]["p"].device)

    def write(self) -> None:
        """Compute what the tensors and their states become, and have it stored."""
        for i in self._each():
            (update, states), totals = self._ask(
                i, lambda values: (values.results(), [values.value(total) for total in self._needed])
            )
            self._store(i, update, states, totals if self._differentiable else [*map(_on_host, totals)])
        del self._tensors, self._scalars
        self._evaluations = []

    def _each(self) -> range:
        return range(len(self._tensors))

    def _joint_totals(self, level: int) -> list[Expression]:
        return [total for total in self._plan.passes[level].reductions if total.operation == "joint_sum"]

    def _summed(self, parts: Sequence[Tensor]) -> Any:
        """Shares as they are added to those of kernels."""
        if self._differentiable:
            return reduce(operator.add, parts)[None]
        whole = reduce(operator.add, map(_on_host, parts))
        return whole[None] if self._lanes is None else np.bincount(self._lanes, whole)

    def _ask(self, i: int, question: Callable[[Evaluation], Any]) -> Any:
        """Ask tensor i's evaluation something; the answers of lanes are stacked."""
        if self._lanes is None:
            return question(self._evaluations[i])

        def one(tensors: dict[str, Tensor], scalars: list[Tensor], joint: list[Tensor]) -> Any:
            evaluation = Evaluation(self._plan, tensors, scalars)
            for total, value in zip(self._joint, joint, strict=True):
                evaluation.take(total, value)
            return question(evaluation)

        columns = self._scalars[i].unbind(1)
        scalars = [
            column != 0 if node.is_boolean else column
            for node, column in zip(self._plan.hoisted, columns, strict=False)  # there is a column even for none
        ]
        return torch.func.vmap(one)(dict(self._tensors[i]), scalars, list(self._joint.values()))


def _channel(tensor: Tensor) -> int:
    """Elements in a channel: an index of the first dimension, or the whole of a tensor without a second."""
    return tensor.numel() // tensor.shape[0] if tensor.dim() > 1 else tensor.numel()


def _on_host(values: Tensor) -> NDArray[np.float64]:
    """Numbers on the host, in double precision."""
    return np.asarray(values.double().cpu().numpy(), np.float64)
