"""What moves some lanes of a population: a kernel or torch's operations for a rule, or a torch optimizer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fallline.kernels import Evaluation, Joint, SegmentTable, Sums, host_numbers, host_scalars, kernel_for
from fallline.optim.schedule_free import keeps_average
from fallline.symbolic import Rule, make_plan
from fallline.symbolic.expression import Expression, described
from fallline.training.drawing import reseed_for_update
from fallline.training.updates.lane_numbers import NO_SCHEDULE, LaneNumbers, Numbers, ScheduleFactors
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


class TorchMover(Mover):
    """A lane whose parameters are views of the stacked ones.

    An optimizer with methods `train` and `eval` is taken to hold in its parameters, after `eval`, what is to be
    evaluated, as Schedule-Free classes do. Where the lane has a `seed`, what the optimizer draws follows from it.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        lane: int,
        spec: LaneRule,
        factors: ScheduleFactors,
        seed: int | None = None,
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
