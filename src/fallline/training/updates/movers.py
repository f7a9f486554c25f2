"""What moves some lanes of a population: a kernel or torch's operations for a rule, or a torch optimizer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fallline.kernels import (
    KERNEL_TYPES,
    EagerHost,
    Joint,
    RowNumbers,
    TableHost,
    host_numbers,
    host_scalars,
    kernel_for,
)
from fallline.rules import keeps_average
from fallline.symbolic import Rule, make_plan
from fallline.training.drawing import reseed_for_update
from fallline.training.updates.lane_numbers import NO_SCHEDULE, LaneNumbers, ScheduleFactors
from fallline.training.updates.lane_rule import LaneRule

Mask = NDArray[np.bool_]
Indices = NDArray[np.int64]


class Mover(ABC):
    """Moves the lanes `lanes`, rows of the population's stacked parameters.

    `averages` says whether what they are evaluated at is another point than where they train, as in Schedule-Free
    learning.
    """

    averages: bool
    lanes: Indices

    @abstractmethod
    def average(self, parameters: Sequence[Tensor], mask: Mask) -> None:
        """Let the parameters hold what the lanes where `mask` [population] is true are to be evaluated at."""

    @abstractmethod
    def resume(self) -> None:
        """Train again; the parameters hold once more what they held."""

    @abstractmethod
    def keep(self, mask: Mask, position: Indices) -> bool:
        """Forget the lanes where `mask` is false; lane i becomes `position[i]`. Whether any are left."""


class RuleMover(Mover):
    """Lanes of one rule and parameters of one type: those at `positions`, stacked [population, ...].

    There are no lanes at first: they `join`, all of the rule and with the static values of `lane`. Rows are ordered by
    parameter, then by lane.
    """

    def __init__(
        self, parameters: Sequence[Tensor], positions: Sequence[int], lane: LaneRule, factors: ScheduleFactors
    ) -> None:
        assert isinstance(lane.rule, Rule)
        self.rule, self.static = lane.rule, lane.static
        self.plan = make_plan(self.rule.trace(**self.static))
        self.averages = keeps_average(self.rule)
        self.lanes = np.empty(0, np.int64)
        self.positions = list(positions)
        dimensions = [parameters[j].dim() - 1 for j in self.positions]
        self.given = LaneNumbers(self.rule, self.plan, dimensions, factors)
        self._specs = self.rule.tensor_states
        #: For each parameter the states by name, [lanes, ...].
        self.states = [
            {spec.name: parameters[j].new_empty((0, *parameters[j].shape[1:])) for spec in self.rule.tensor_states}
            for j in self.positions
        ]
        #: The rows' numbers while lanes stay as they are.
        self._numbers: RowNumbers | None = None

    def prepare(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor], step: int) -> Joint:
        """Make a step ready to run, with contiguous gradients."""
        if self._numbers is None:
            self._numbers = self._lay_out([parameters[j] for j in self.positions])
        self.given.advance(step)
        self._numbers.prepare()
        return self._taken([parameters[j] for j in self.positions], [gradients[j] for j in self.positions])

    @abstractmethod
    def _lay_out(self, parameters: Sequence[Tensor]) -> RowNumbers:
        """Make what runs the rule for the lanes that there are now, with their numbers."""

    @abstractmethod
    def _taken(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor]) -> Joint:
        """Take a step's tensors; what is ready to run."""

    def finish(self) -> None:
        """Take up what the step leaves in numbers."""
        assert self._numbers is not None
        if self._numbers.unsettled:
            self._numbers.finish()
            self._numbers.settle()
        self.given.new[:] = False

    def join(self, lanes: Sequence[int], rules: Sequence[LaneRule], begun: Sequence[int]) -> None:
        """Take up lanes of the population, each after the step of the run at which its rule begins."""
        self.lanes = np.append(self.lanes, np.array(lanes, np.int64))
        self.given.join(rules, begun)
        for states in self.states:
            for spec in self.rule.tensor_states:
                state = states[spec.name]
                states[spec.name] = torch.cat([state, state.new_full((len(lanes), *state.shape[1:]), spec.fill)])
        self._numbers = None

    def keep(self, mask: Mask, position: Indices) -> bool:  # noqa: D102
        mine = mask[self.lanes]
        self.lanes = position[self.lanes[mine]]
        if not mine.all():
            self.given.keep(mine)
            chosen = torch.from_numpy(np.flatnonzero(mine))
            self.states = [
                {name: state[chosen.to(state.device)] for name, state in states.items()} for states in self.states
            ]
        self._numbers = None
        return bool(mine.any())

    def average(self, parameters: Sequence[Tensor], mask: Mask) -> None:
        """Put the averages x = y + (1 - 1/β)(z - y) of Schedule-Free lanes in the place of their weights y."""
        begun = np.flatnonzero(mask[self.lanes] & ~self.given.new)
        share = 1 - 1 / self.given.values["beta"][begun]
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


class KernelMover(RuleMover):
    """Moves all its lanes in one launch; parameters, gradients and states lie contiguous in the CPU's memory."""

    def _lay_out(self, parameters: Sequence[Tensor]) -> RowNumbers:
        kernel, width = kernel_for(self.rule, KERNEL_TYPES[parameters[0].dtype], self.static), len(self.lanes)
        #: Bytes of one lane's tensor, and from each parameter's begin to where its lanes' own begin.
        lengths = np.array([stacked[0].numel() * stacked.element_size() for stacked in parameters])[:, None]
        self._offsets = lengths * self.lanes
        addresses = np.empty((len(parameters), width, len(kernel.columns)), np.int64)
        addresses[:, :, 0] = addresses[:, :, 1] = _starts(parameters) + self._offsets
        for column, spec in enumerate(self.rule.tensor_states, 2):
            states = _starts([states[spec.name] for states in self.states])
            addresses[:, :, column] = states + lengths * np.arange(width)
        self._host = TableHost(
            kernel,
            [stacked[0] for stacked in parameters],
            addresses.reshape(-1, len(kernel.columns)),
            self.given.rows(),
            self.lanes,
            self.given.copies,
        )
        return self._host.numbers

    def _taken(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor]) -> TableHost:
        self._host.gradients[:] = (_starts(gradients) + self._offsets).reshape(-1)
        return self._host


class EagerMover(RuleMover):
    """Moves all its lanes by the reference that is mapped over them, one parameter after the other.

    Half precision is computed with in float32, sums in float64. The lanes' numbers come from the host once a step; only
    rules that sum over all tensors, or keep numbers that follow from sums, wait for the device.
    """

    def _lay_out(self, parameters: Sequence[Tensor]) -> RowNumbers:
        width, scalars = len(self.lanes), host_scalars(self.plan)
        self._rows = torch.from_numpy(self.lanes).to(parameters[0].device)
        self._host = EagerHost(self.plan, self._store, self.lanes)
        rows = len(parameters) * width
        self._scalars = np.zeros((rows // self.given.copies, max(1, scalars.count)))
        self._totals = np.empty((rows, len(self.plan.totals)))
        return RowNumbers(scalars, host_numbers(self.plan), self.given.rows(), self._scalars, self._totals)

    def _taken(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor]) -> EagerHost:
        self._parameters = parameters
        self._weights = [stacked[self._rows] for stacked in parameters]
        tensors = [
            {"p": p, "g": gradient[self._rows], **states}
            for p, gradient, states in zip(self._weights, gradients, self.states, strict=True)
        ]
        scalars = torch.from_numpy(self._scalars.reshape(-1, len(self.lanes), self._scalars.shape[1]))
        return self._host.take(tensors, scalars.to(self._rows.device).expand(len(tensors), -1, -1))

    def finish(self) -> None:
        """Take up what the step leaves in numbers, and let its copies of the weights go: memory limits the lanes."""
        super().finish()
        del self._parameters, self._weights

    def _store(self, i: int, update: Tensor, states: dict[str, Tensor], totals: list[Any]) -> None:
        stacked = self._parameters[i]
        stacked[self._rows] = (self._weights[i] - update).to(stacked.dtype)
        for name, state in states.items():
            self.states[i][name].copy_(state)
        if totals:
            width = len(self.lanes)
            self._totals[i * width : (i + 1) * width] = np.stack(totals, axis=1)


class TorchMover(Mover):
    """A lane whose parameters are views of the stacked ones.

    An optimizer with methods `train` and `eval` is taken to hold in its parameters, after `eval`, what is to be
    evaluated, as Schedule-Free classes do. Where the lane has a `seed`, what the optimizer draws follows from it.
    """

    def __init__(
        self, parameters: Sequence[Tensor], lane: int, spec: LaneRule, factors: ScheduleFactors, seed: int | None
    ) -> None:
        assert not isinstance(spec.rule, Rule)
        self.lanes = np.array([lane])
        self._views = [torch.nn.Parameter(parameter[lane]) for parameter in parameters]
        self._optimizer = spec.rule(self._views, **spec.values)
        self._seed = seed
        self._factors, self._place = factors, factors.place(spec.schedule)
        groups = self._optimizer.param_groups
        self._rates = [] if self._place == NO_SCHEDULE else [group["lr"] for group in groups]
        self.averages = all(callable(getattr(self._optimizer, name, None)) for name in ("train", "eval"))
        self.resume()

    def move(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor], step: int) -> None:
        """Take a step."""
        self._bind(parameters)
        for view, gradient in zip(self._views, gradients, strict=True):
            view.grad = gradient[self.lanes[0]]
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=False):
            group["lr"] = rate * self._factors.at(step, [self._place]).item()
        if self._seed is not None:
            reseed_for_update(self._seed, step, parameters[0].device)
        self._optimizer.step()

    def average(self, parameters: Sequence[Tensor], mask: Mask) -> None:  # noqa: D102
        if mask[self.lanes[0]]:
            self._bind(parameters)
            self._optimizer.eval()  # type: ignore[attr-defined]

    def resume(self) -> None:  # noqa: D102
        if self.averages:
            self._optimizer.train()  # type: ignore[attr-defined]

    def keep(self, mask: Mask, position: Indices) -> bool:  # noqa: D102
        kept = bool(mask[self.lanes[0]])
        self.lanes = position[self.lanes]
        return kept

    def _bind(self, parameters: Sequence[Tensor]) -> None:
        for view, parameter in zip(self._views, parameters, strict=True):
            view.data = parameter[self.lanes[0]]


def _starts(tensors: Sequence[Tensor]) -> Indices:
    """Where tensors begin in memory, [tensors, 1]."""
    return np.array([tensor.data_ptr() for tensor in tensors], np.int64)[:, None]
