"""Lanes moved operation by operation with torch: what no kernel takes, on other devices and in half precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fallline.kernels import Evaluation, Sums
from fallline.symbolic import Rule
from fallline.symbolic.expression import Expression, described
from fallline.training.updates.lane_numbers import Numbers
from fallline.training.updates.rule_mover import RuleMover
from fallline.training.updates.schedule_factors import ScheduleFactors


class EagerMover(RuleMover):
    """Moves all its lanes by the reference that is mapped over them, one parameter after the other.

    Half precision is computed with in float32, sums in float64. The lanes' numbers come from the host once a step; only
    rules that sum over all tensors, or keep numbers that follow from sums, wait for the device.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        positions: Sequence[int],
        rule: Rule,
        static: Mapping[str, Any],
        factors: ScheduleFactors,
    ) -> None:
        super().__init__(parameters, positions, rule, static, factors)
        self._device = parameters[positions[0]].device
        #: How many levels of sums there are before the writing.
        self.levels = len(self.plan.passes) - 1
        self._needed_totals = self.plan.totals if self.plan.new_numbers else ()
        self._joint: dict[Expression, Tensor] = {}

    def prepare(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor], step: int) -> EagerMover:
        """Gather the lanes' rows and numbers."""
        self._parameters = [parameters[j] for j in self.positions]
        self._rows = torch.from_numpy(self.lanes).to(self._device)
        self._tensors = [
            {"p": parameters[j][self._rows], "g": gradients[j][self._rows], **states}
            for j, states in zip(self.positions, self.states, strict=True)
        ]
        columns = self.numbers.columns(self.scalars, step)
        scalars = torch.from_numpy(columns).to(self._device)
        self._scalars = scalars.expand(len(self.positions), *scalars.shape[1:])
        self._joint.clear()
        self._sums: list[Numbers] = []
        return self

    def reduce(self, level: int) -> Sums:
        """Compute the lanes' shares of the sums over all tensors, a number a lane of the population."""
        totals = self._joint_totals(level)
        if not totals:
            return {}
        shares = [self._mapped(i, lambda values: [values.value(total) for total in totals]) for i in self._each()]
        return {
            described(total.args[0]): np.bincount(self.lanes, sum(_on_host(share) for share in parts))
            for total, parts in zip(totals, zip(*shares, strict=True), strict=True)
        }

    def share(self, level: int, sums: Sums) -> None:
        """Take the sums over all tensors."""
        for total in self._joint_totals(level):
            self._joint[total] = torch.from_numpy(sums[described(total.args[0])][self.lanes]).to(self._device)

    def write(self) -> None:
        """Move parameters and states."""
        for i in self._each():
            (update, states), totals = self._mapped(
                i, lambda values: (values.results(), [values.value(total) for total in self._needed_totals])
            )
            stacked = self._parameters[i]
            stacked[self._rows] = (self._tensors[i]["p"] - update).to(stacked.dtype)
            for name, state in states.items():
                self.states[i][name].copy_(state)
            if totals:
                self._sums.append(np.stack([_on_host(total) for total in totals], axis=1))
        del self._tensors, self._parameters

    def _totals(self) -> Numbers:
        rows = len(self.positions) * len(self.lanes)
        return np.concatenate(self._sums) if self._sums else np.empty((rows, 0))

    def _forget_layout(self) -> None:
        """Nothing is held from step to step."""

    def _each(self) -> range:
        return range(len(self.positions))

    def _joint_totals(self, level: int) -> list[Expression]:
        return [total for total in self.plan.passes[level].reductions if total.operation == "joint_sum"]

    def _mapped(self, i: int, ask: Callable[[Evaluation], Any]) -> Any:
        """Ask the evaluation of every lane's own tensor something; answers are stacked [lanes, ...]."""

        def one(tensors: dict[str, Tensor], scalars: list[Tensor], joint: list[Tensor]) -> Any:
            evaluation = Evaluation(self.plan, tensors, scalars)
            for total, value in zip(self._joint, joint, strict=True):
                evaluation.take(total, value)
            return ask(evaluation)

        columns = self._scalars[i].unbind(1)
        scalars = [
            column != 0 if node.is_boolean else column
            for node, column in zip(self.plan.hoisted, columns, strict=False)  # there is a column even for none
        ]
        return torch.func.vmap(one)(self._tensors[i], scalars, list(self._joint.values()))


def _on_host(values: Tensor) -> Numbers:
    return np.asarray(values.double().cpu().numpy(), np.float64)
