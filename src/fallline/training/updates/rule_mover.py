"""Lanes that follow one rule, with their states, however the rule is run."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fallline.kernels import Joint, host_numbers, host_scalars
from fallline.optim.schedule_free import keeps_average
from fallline.symbolic import Rule, make_plan
from fallline.training.updates.lane_numbers import LaneNumbers, Numbers
from fallline.training.updates.lane_rule import LaneRule
from fallline.training.updates.mover import Indices, Mask, Mover
from fallline.training.updates.schedule_factors import ScheduleFactors


class RuleMover(Mover):
    """Lanes of one rule and parameters of one type: those at `positions`, stacked [population, ...].

    There are no lanes at first: they `join`. Rows are ordered by parameter, then by lane.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        positions: Sequence[int],
        rule: Rule,
        static: Mapping[str, Any],
        factors: ScheduleFactors,
    ) -> None:
        self.plan = make_plan(rule.trace(**static))
        self.scalars, self._becomes = host_scalars(self.plan), host_numbers(self.plan)
        self.averages = keeps_average(rule)
        self.lanes = np.empty(0, np.int64)
        self.positions = [j for j in positions if parameters[j][0].numel()]
        self.numbers = LaneNumbers(rule, [parameters[j].dim() - 1 for j in self.positions], factors)
        self._specs = rule.tensor_states
        #: For each parameter the states by name, [lanes, ...].
        self.states = [
            {spec.name: parameters[j].new_empty((0, *parameters[j].shape[1:])) for spec in self._specs}
            for j in self.positions
        ]

    @abstractmethod
    def prepare(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor], step: int) -> Joint:
        """Make a step ready to run, with contiguous gradients."""

    @abstractmethod
    def _forget_layout(self) -> None:
        """Lanes have come or gone, and their tensors are new ones."""

    @abstractmethod
    def _totals(self) -> Numbers:
        """The sums [rows, sums] that numbers follow from."""

    def join(self, lanes: Sequence[int], rules: Sequence[LaneRule], begun: Sequence[int]) -> None:
        """Take up lanes of the population, each after the step of the run at which its rule begins."""
        self.lanes = np.append(self.lanes, np.array(lanes, np.int64))
        self.numbers.join(rules, begun)
        for states in self.states:
            for spec in self._specs:
                state = states[spec.name]
                states[spec.name] = torch.cat([state, state.new_full((len(lanes), *state.shape[1:]), spec.fill)])
        self._forget_layout()

    def finish(self, step: int) -> None:
        """Take up what the step leaves in numbers."""
        self.numbers.finish(self._becomes, self._totals(), step)

    def keep(self, mask: Mask, position: Indices) -> bool:  # noqa: D102
        mine = mask[self.lanes]
        self.lanes = position[self.lanes[mine]]
        if not mine.all():
            self.numbers.keep(mine)
            chosen = torch.from_numpy(np.flatnonzero(mine))
            self.states = [
                {name: state[chosen.to(state.device)] for name, state in states.items()} for states in self.states
            ]
        self._forget_layout()
        return bool(mine.any())

    def average(self, parameters: Sequence[Tensor], mask: Mask) -> None:
        """Put the averages x = y + (1 - 1/β)(z - y) of Schedule-Free lanes in the place of their weights y."""
        begun = np.flatnonzero(mask[self.lanes] & ~self.numbers.new)
        share = 1 - 1 / self.numbers.values("beta")[begun]
        for j, states in zip(self.positions, self.states, strict=True):
            y, z = parameters[j], states["z"]
            wide = torch.promote_types(y.dtype, torch.float32)
            weight = torch.from_numpy(share).to(y.device, wide).view(-1, *[1] * (y.dim() - 1))
            rows = torch.from_numpy(self.lanes[begun]).to(y.device)
            chosen = torch.from_numpy(begun).to(y.device)
            x = y[rows].to(wide).lerp(z[chosen].to(wide), weight)
            y[rows] = x.to(y.dtype)

    def resume(self) -> None:
        """Train again: nothing was changed but the parameters."""
