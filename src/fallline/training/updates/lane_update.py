"""Moves a population, each lane by its own rule."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fallline.kernels import KERNEL_TYPES, run_jointly
from fallline.symbolic import Rule
from fallline.training.updates.lane_numbers import ScheduleFactors
from fallline.training.updates.lane_rule import LaneRule
from fallline.training.updates.movers import EagerMover, Indices, KernelMover, Mask, Mover, RuleMover, TorchMover

#: Lanes of one family share a kernel: the same rule with the same static hyperparameters.
Family = tuple[Any, ...]


class LaneUpdate:
    """Moves the stacked parameters of a population, each lane by its own rule.

    No lane's numbers depend on which others there are.

    Args:
        parameters: Tensors [lanes, ...], moved in place.
        lanes: What moves each lane.
        seeds: From which what an optimizer class draws follows, [lanes]; None: it draws from torch's generator.

    Raises:
        ValueError: Parameters are not floating-point numbers.

    >>> from fallline import rules
    >>> weights = torch.ones(2, 3)
    >>> update = LaneUpdate([weights], [LaneRule(rules.gradient_descent, {"lr": lr}) for lr in (0.25, 0.5)])
    >>> update([weights], [torch.ones(2, 3)], step=1)
    >>> weights.tolist()
    [[0.75, 0.75, 0.75], [0.5, 0.5, 0.5]]
    """

    def __init__(
        self, parameters: Sequence[Tensor], lanes: Sequence[LaneRule], seeds: Sequence[int] | None = None
    ) -> None:
        for parameter in parameters:
            if not parameter.is_floating_point():
                raise ValueError(
                    f"parameters: must be floating-point numbers for lanes to train, got {parameter.dtype}."
                )
        self._seeds: list[int | None] = [None] * len(lanes) if seeds is None else [*seeds]
        self._factors = ScheduleFactors()
        self._rule_movers: dict[Family, list[RuleMover]] = {}
        self._torch_movers: list[TorchMover] = []
        self._waiting: dict[int, tuple[int, LaneRule]] = {}
        self._seat(parameters, {lane: (0, rule) for lane, rule in enumerate(lanes)})

    def __call__(self, parameters: list[Tensor], gradients: Sequence[Tensor], step: int) -> None:
        """Take a step.

        Args:
            parameters: The tensors [lanes, ...].
            gradients: Their gradients [lanes, ...].
            step: The number of the step, from 1.
        """
        whole = [gradient.contiguous() for gradient in gradients]  # once for all rules
        movers = [mover for movers in self._rule_movers.values() for mover in movers]
        run_jointly([mover.prepare(parameters, whole, step) for mover in movers])
        for mover in movers:
            mover.finish()
        for lane in self._torch_movers:
            lane.move(parameters, whole, step)
        # At once, and not before the next step, whose gradients are to be taken where the next rule begins.
        while self._next_switch is not None and step >= self._next_switch:
            self._switch(parameters, self._next_switch)

    @contextmanager
    def evaluated(self, parameters: Sequence[Tensor]) -> Iterator[None]:
        """Let the parameters hold what each lane is to be evaluated at inside a `with`, and put them back after it.

        That is the average of the weights for Schedule-Free lanes, and the weights themselves for all others.

        Args:
            parameters: The tensors [lanes, ...].
        """
        averaging = [mover for mover in self._movers() if mover.averages]
        if not averaging:
            yield
            return
        trained = [parameter.clone() for parameter in parameters]
        try:
            for mover in averaging:
                mover.average(parameters, np.full(len(parameters[0]), True))
            yield
        finally:
            for mover in averaging:
                mover.resume()
            for parameter, values in zip(parameters, trained, strict=True):
                parameter.copy_(values)

    def keep(self, mask: Mask) -> None:
        """Forget lanes; the next call gets the others only, in new tensors.

        Args:
            mask: Which lanes go on, [lanes].
        """
        position = np.cumsum(mask) - 1
        self._part(mask, position)
        self._seeds = list(itertools.compress(self._seeds, mask))
        self._wait({int(position[lane]): waiting for lane, waiting in self._waiting.items() if mask[lane]})

    def _movers(self) -> Iterator[Mover]:
        for movers in self._rule_movers.values():
            yield from movers
        yield from self._torch_movers

    def _part(self, mask: Mask, position: Indices) -> None:
        kept = {
            family: [mover for mover in movers if mover.keep(mask, position)]
            for family, movers in self._rule_movers.items()
        }
        self._rule_movers = {family: movers for family, movers in kept.items() if movers}
        self._torch_movers = [mover for mover in self._torch_movers if mover.keep(mask, position)]

    def _switch(self, parameters: Sequence[Tensor], done: int) -> None:
        """Let the lane rules take over that do so after the run's step `done`."""
        due = {lane: waiting for lane, waiting in self._waiting.items() if waiting[0] == done}
        leaving = np.full(len(parameters[0]), False)
        leaving[list(due)] = True
        for mover in self._movers():
            if mover.averages:
                mover.average(parameters, leaving)
        self._part(~leaving, np.arange(len(leaving)))
        self._seat(parameters, due)

    def _seat(self, parameters: Sequence[Tensor], lanes: Mapping[int, tuple[int, LaneRule]]) -> None:
        """Give lanes, each with the step after which its rule begins, to the movers of their families."""
        families: dict[Family, list[int]] = {}
        for lane, (_, rule) in lanes.items():
            if isinstance(rule.rule, Rule):
                families.setdefault(_family(rule), []).append(lane)
            else:
                self._torch_movers.append(TorchMover(parameters, lane, rule, self._factors, self._seeds[lane]))
        for family, members in families.items():
            rules = [lanes[lane][1] for lane in members]
            if family not in self._rule_movers:
                self._rule_movers[family] = _found(parameters, rules[0], self._factors)
            for mover in self._rule_movers[family]:
                mover.join(members, rules, [lanes[lane][0] for lane in members])
        begins = {lane: (begun + rule.then[0], rule.then[1]) for lane, (begun, rule) in lanes.items() if rule.then}
        self._wait({lane: waiting for lane, waiting in self._waiting.items() if lane not in lanes} | begins)

    def _wait(self, waiting: dict[int, tuple[int, LaneRule]]) -> None:
        """Note the lane rules that take over later, each after a step of the run."""
        self._waiting = waiting
        self._next_switch = min((after for after, _ in waiting.values()), default=None)


def _family(lane: LaneRule) -> Family:
    return (lane.rule, *lane.static.items())


def _found(parameters: Sequence[Tensor], lane: LaneRule, factors: ScheduleFactors) -> list[RuleMover]:
    """Movers for a family without lanes yet: one for each type and device that the parameters have."""
    alike: dict[tuple[torch.device, torch.dtype], list[int]] = {}
    for j, parameter in enumerate(parameters):
        if parameter[0].numel():
            alike.setdefault((parameter.device, parameter.dtype), []).append(j)
    return [
        (KernelMover if device.type == "cpu" and dtype in KERNEL_TYPES else EagerMover)(
            parameters, positions, lane, factors
        )
        for (device, dtype), positions in alike.items()
    ]
