"""The lanes' optimizers: every lane with its own rule and hyperparameters, all lanes of a rule in one launch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fallline.kernels import DTYPES, Kernel, SegmentTable, kernel_for, run_jointly
from fallline.symbolic import Rule

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class LaneRule:
    """What moves one lane: a rule with all its hyperparameters' values, or a torch optimizer class with its own."""

    rule: Rule | type[torch.optim.Optimizer]
    values: Mapping[str, Any]


class LaneUpdate:
    """Moves the stacked parameters of a population, each lane by its own rule.

    `parameters` are tensors [lanes, ...], moved in place; lane i follows `lanes[i]`.
    Raises ValueError if the parameters are of a type that no kernel is made for.
    """

    def __init__(self, parameters: Sequence[Tensor], lanes: Sequence[LaneRule]) -> None:
        for parameter in parameters:
            if str(parameter.dtype).removeprefix("torch.") not in DTYPES:
                raise ValueError(f"the model's parameters are {parameter.dtype}; lanes train in float32 or float64")
        families: dict[tuple[Any, ...], list[int]] = {}
        for i, lane in enumerate(lanes):
            families.setdefault(_family(lane), []).append(i)
        self._movers: list[_KernelMover] = []
        self._torch_movers: list[_TorchMover] = []
        for members in families.values():
            indices = np.array(members)
            if not isinstance(lanes[members[0]].rule, Rule):
                self._torch_movers.extend(_TorchMover(parameters, i, lanes[i]) for i in members)
                continue
            for dtype in dict.fromkeys(parameter.dtype for parameter in parameters):
                positions = [j for j, parameter in enumerate(parameters) if parameter.dtype == dtype]
                self._movers.append(_KernelMover(parameters, positions, indices, [lanes[i] for i in members]))

    def __call__(self, parameters: list[Tensor], gradients: Sequence[Tensor], step: int) -> None:
        """Take step number `step`, counted from 1, with gradients [lanes, ...]."""
        whole = [gradient.contiguous() for gradient in gradients]  # once for all rules
        run_jointly([mover.prepare(parameters, whole, step) for mover in self._movers])
        for mover in self._movers:
            mover.finish(step)
        for lane in self._torch_movers:
            lane.move(parameters, whole, step)

    def keep(self, mask: Mask) -> None:
        """Forget the lanes where `mask` [lanes] is false; the next call gets the others only, in new tensors."""
        position = np.cumsum(mask) - 1
        self._movers = [mover for mover in self._movers if mover.keep(mask, position)]
        self._torch_movers = [mover for mover in self._torch_movers if mover.keep(mask, position)]


def _family(lane: LaneRule) -> tuple[Any, ...]:
    """Lanes of one family share a kernel: the same rule with the same static hyperparameters."""
    static = tuple((name, lane.values[name]) for name in lane.rule.static) if isinstance(lane.rule, Rule) else ()
    return (lane.rule, *static)


class _KernelMover:
    """Lanes of one family and parameters of one type: one table, a row for each parameter of each lane."""

    def __init__(
        self, parameters: Sequence[Tensor], positions: list[int], lanes: NDArray[Any], rules: Sequence[LaneRule]
    ) -> None:
        rule = rules[0].rule
        assert isinstance(rule, Rule)
        dtype = str(parameters[positions[0]].dtype).removeprefix("torch.")
        self._kernel: Kernel = kernel_for(rule, dtype, {name: rules[0].values[name] for name in rule.static})
        self._positions = [j for j in positions if parameters[j][0].numel()]
        self._lanes = lanes
        self._values = {
            name: np.array([float(lane.values[name]) for lane in rules])
            for name in rule.hyperparameters
            if name not in rule.static
        }
        self._states = [
            [
                torch.full((len(lanes), *parameters[j].shape[1:]), spec.fill, dtype=parameters[j].dtype)
                for spec in rule.tensor_states
            ]
            for j in self._positions
        ]
        self._dimensions = [parameters[j].dim() - 1 for j in self._positions]
        self._numbers = {
            spec.name: np.full((len(self._positions), len(lanes)), spec.fill) for spec in rule.number_states
        }
        self._absent = {spec.absent: 1.0 for spec in rule.tensor_states}
        self._table: SegmentTable | None = None
        self._stale = True

    def prepare(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor], step: int) -> SegmentTable:
        """Make the table ready to run."""
        scalars = self._kernel.scalars
        table = self._table
        if table is None:
            table = self._lay_out(parameters)
        # Row r is parameter r // lanes of lane r % lanes, so each parameter's gradients are a run of rows.
        width = len(self._lanes)
        for i, j in enumerate(self._positions):
            gradient = gradients[j]
            rows = slice(i * width, (i + 1) * width)
            table.addresses[rows, 1] = gradient.data_ptr() + self._lanes * gradient.stride(0) * gradient.element_size()
        if scalars.count and (self._stale or "t" in scalars.names or self._numbers):
            # Without numbers of their own, a lane's tensors share its scalars.
            copies = len(self._positions) if self._numbers or "dimensions" in scalars.names else 1
            columns = scalars.columns(self._given(step, copies), copies * width)
            table.scalars[:] = np.tile(columns, (len(self._positions) // copies, 1))
        return table

    def finish(self, step: int) -> None:
        """Take up what the step leaves: states that are numbers, and that no state is new any more."""
        if self._numbers:
            assert self._table is not None
            totals = {f"total_{i}": column for i, column in enumerate(self._table.totals.T)}
            given = {**self._given(step, len(self._positions)), **totals}
            new = self._kernel.new_numbers.columns(given, len(self._table.addresses))
            for numbers, column in zip(self._numbers.values(), new.T, strict=True):
                numbers[:] = column.reshape(numbers.shape)
        self._stale = any(self._absent.values())
        self._absent = dict.fromkeys(self._absent, 0.0)

    def _given(self, step: int, copies: int) -> dict[str, Any]:
        """What scalars may name: a number, or one for each lane, as often as said."""
        by_lane = {name: np.tile(values, copies) for name, values in self._values.items()}
        numbers = {name: values.reshape(-1) for name, values in self._numbers.items()}
        dimensions = np.repeat(self._dimensions, len(self._lanes)) if copies > 1 else 0.0
        return {**by_lane, **numbers, **self._absent, "t": float(step), "dimensions": dimensions}

    def _lay_out(self, parameters: Sequence[Tensor]) -> SegmentTable:
        width = len(self._lanes)
        sizes = [parameters[j][0].numel() for j in self._positions for _ in range(width)]
        rows = [_channel(parameters[j]) for j in self._positions for _ in range(width)]
        self._table = table = SegmentTable(self._kernel, sizes, rows, np.tile(self._lanes, len(self._positions)))
        for i, j in enumerate(self._positions):
            span, bytes_each = (
                slice(i * width, (i + 1) * width),
                parameters[j][0].numel() * parameters[j].element_size(),
            )
            table.addresses[span, 0] = parameters[j].data_ptr() + self._lanes * bytes_each
            for k, state in enumerate(self._states[i]):
                table.addresses[span, 2 + k] = state.data_ptr() + np.arange(width) * bytes_each
        self._stale = True
        return table

    def keep(self, mask: Mask, position: NDArray[Any]) -> bool:
        """Forget the lanes where the mask is false; whether any are left."""
        mine = mask[self._lanes]
        if not mine.any():
            return False
        chosen = torch.from_numpy(mine)
        self._lanes = position[self._lanes[mine]]
        self._values = {name: values[mine] for name, values in self._values.items()}
        self._states = [[state[chosen] for state in states] for states in self._states]
        self._numbers = {name: numbers[:, mine] for name, numbers in self._numbers.items()}
        self._table = None
        return True


def _channel(stacked: Tensor) -> int:
    """Elements in a channel of one lane's tensor."""
    return stacked[0, 0].numel() if stacked.dim() > 2 else stacked[0].numel()


class _TorchMover:
    """One lane moved by a torch optimizer of its own, on views of the stacked parameters."""

    def __init__(self, parameters: Sequence[Tensor], lane: int, spec: LaneRule) -> None:
        self._lane = lane
        self._views = [torch.nn.Parameter(parameter[lane]) for parameter in parameters]
        assert not isinstance(spec.rule, Rule)
        self._optimizer = spec.rule(self._views, **spec.values)

    def move(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor], step: int) -> None:
        for view, parameter, gradient in zip(self._views, parameters, gradients, strict=True):
            view.data = parameter[self._lane]
            view.grad = gradient[self._lane]
        self._optimizer.step()

    def keep(self, mask: Mask, position: NDArray[Any]) -> bool:
        """Whether the lane is still wanted; it is then known by its new place."""
        if not mask[self._lane]:
            return False
        self._lane = int(position[self._lane])
        return True
