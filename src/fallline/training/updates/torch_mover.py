"""One lane moved by a torch optimizer of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fallline.symbolic import Rule
from fallline.training.drawing import reseed_for_update
from fallline.training.updates.lane_rule import LaneRule
from fallline.training.updates.mover import Indices, Mask, Mover
from fallline.training.updates.schedule_factors import NO_SCHEDULE, ScheduleFactors


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
