"""Lanes moved by a kernel: one table, a row for each parameter of each lane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from fallline.kernels import SegmentTable, kernel_for
from fallline.symbolic import Rule
from fallline.training.updates.lane_numbers import Numbers
from fallline.training.updates.rule_mover import RuleMover
from fallline.training.updates.schedule_factors import ScheduleFactors


class KernelMover(RuleMover):
    """Moves all its lanes in one launch; parameters, gradients and states lie contiguous in the CPU's memory."""

    def __init__(
        self,
        parameters: Sequence[Tensor],
        positions: Sequence[int],
        rule: Rule,
        static: Mapping[str, Any],
        factors: ScheduleFactors,
    ) -> None:
        super().__init__(parameters, positions, rule, static, factors)
        self._kernel = kernel_for(rule, str(parameters[positions[0]].dtype).removeprefix("torch."), static)
        self._table: SegmentTable | None = None
        self._stale = True

    def prepare(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor], step: int) -> SegmentTable:
        """Make the table ready to run."""
        table = self._table or self._lay_out(parameters)
        starts = np.array([gradients[j].data_ptr() for j in self.positions])
        self._addresses[:, :, 1] = starts[:, None] + self._offsets
        if self.scalars.count and (self._stale or self.numbers.change(self.scalars)):
            self._scalars[:] = self.numbers.columns(self.scalars, step)
        self._stale = bool(self.numbers.new.any())  # after this step, they are no longer
        return table

    def _totals(self) -> Numbers:
        assert self._table is not None
        return self._table.totals

    def _forget_layout(self) -> None:
        self._table = None

    def _lay_out(self, parameters: Sequence[Tensor]) -> SegmentTable:
        mine = [parameters[j] for j in self.positions]
        width = len(self.lanes)
        sizes = np.array([stacked[0].numel() for stacked in mine], np.int64)
        channels = [_channel(stacked) for stacked in mine]
        rows = np.repeat(sizes, width).tolist(), np.repeat(channels, width).tolist()
        self._table = table = SegmentTable(self._kernel, *rows, np.tile(self.lanes, len(mine)))
        self._addresses = table.addresses.reshape(len(mine), width, -1)
        self._scalars = table.scalars.reshape(len(mine), width, -1)
        lengths = sizes * [stacked.element_size() for stacked in mine]  # bytes of one lane's tensor
        self._offsets = lengths[:, None] * self.lanes
        self._addresses[:, :, 0] = np.array([stacked.data_ptr() for stacked in mine])[:, None] + self._offsets
        states = np.array([[state.data_ptr() for state in states.values()] for states in self.states], np.int64)
        self._addresses[:, :, 2:] = states[:, None, :] + (lengths[:, None] * np.arange(width))[:, :, None]
        self._stale = True
        return table


def _channel(stacked: Tensor) -> int:
    """Elements in a channel of one lane's tensor."""
    return stacked[0, 0].numel() if stacked.dim() > 2 else stacked[0].numel()
