"""Lanes moved together, each by its own rule, and the same lanes moved alone, by ordinary optimizers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

import fallline as fl
from fallline.math import dot, maximum, sqrt
from fallline.schedules import Schedule
from fallline.symbolic import Rule
from fallline.training.updates import LaneRule, LaneUpdate

SHAPES: list[tuple[int, ...]] = [(5, 7), (5,), (3, 2, 2), ()]


@fl.rule
def trust_ratio(p, g, m=fl.state(init=lambda g: g), *, lr=0.1, beta=0.9):  # type: ignore[no-untyped-def]  # noqa: B008
    """A rule with reductions and a state that begins as the gradient."""
    m = beta * m + (1 - beta) * g
    return lr * sqrt(dot(p, p, channels=True)) / (sqrt(dot(m, m)) + 1e-3) * m, m


@fl.rule
def counting(p, g, n=fl.state("scalar", init=1.0), d=fl.state("global", init=0.5), *, lr=0.1):  # type: ignore[no-untyped-def]  # noqa: B008
    """A number a tensor that follows from its own gradients, and one that follows from all."""
    longest = sqrt(dot(g, g, all_tensors=True))
    return lr * d / n * g / (longest + 1e-3), n + sqrt(dot(g, g)), maximum(d, 0.1 * longest)


def lane(rule: Any, *, schedule: Any = None, then: Any = None, **given: Any) -> LaneRule:
    """A lane of a rule, with its defaults, or of an optimizer class."""
    defaults = rule.defaults if isinstance(rule, Rule) else {}
    return LaneRule(rule, {**defaults, **given}, schedule, then)


def start(
    lanes: int, steps: int, dtype: torch.dtype = torch.float64, shapes: Sequence[tuple[int, ...]] = SHAPES
) -> tuple[list[Tensor], list[list[Tensor]]]:
    """Stacked parameters, and stacked gradients for each step."""
    generator = torch.Generator().manual_seed(0)
    draw = [torch.randn((steps + 1, lanes, *shape), generator=generator, dtype=torch.float64) for shape in shapes]
    return [x[0].to(dtype) for x in draw], [[x[s].to(dtype) for x in draw] for s in range(1, steps + 1)]


def alone(spec: LaneRule, index: int, parameters: list[Tensor], gradients: list[list[Tensor]]) -> list[Tensor]:
    """Where a lane is after these steps, moved by one ordinary optimizer a phase."""
    own = [torch.nn.Parameter(p[index].clone()) for p in parameters]
    begun, phase = 0, spec
    while True:
        made = ordinary_optimizer(phase, own)
        scheduler = None
        if phase.schedule is not None:
            later = Schedule(lambda step, schedule=phase.schedule, begun=begun: schedule(begun + step))
            scheduler = later.drive(made)
        for step in gradients[begun : None if phase.then is None else begun + phase.then[0]]:
            for p, g in zip(own, step, strict=True):
                p.grad = g[index].clone()
            made.step()
            if scheduler is not None:
                scheduler.step()
        if phase.then is None or begun + phase.then[0] >= len(gradients):
            return [p.detach() for p in own]
        if hasattr(made, "eval"):
            made.eval()
        begun, phase = begun + phase.then[0], phase.then[1]


def ordinary_optimizer(spec: LaneRule, own: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """What moves a lane where it is alone."""
    if not isinstance(spec.rule, Rule):
        return spec.rule(own, **spec.values)
    return (fl.optim.ScheduleFree if fl.rules.keeps_average(spec.rule) else fl.Optimizer)(own, spec.rule, **spec.values)


def together(
    specs: Sequence[LaneRule],
    parameters: list[Tensor],
    gradients: list[list[Tensor]],
    drop: Mapping[int, Sequence[int]] | None = None,
) -> dict[int, list[Tensor]]:
    """Where the lanes are that are left; before step s those of `drop[s]` are dropped."""
    parameters = [p.clone() for p in parameters]
    update = LaneUpdate(parameters, specs)
    left = np.arange(len(specs))
    for number, step in enumerate(gradients, 1):
        if drop is not None and number in drop:
            mask = ~np.isin(left, drop[number])
            left, parameters = left[mask], [p[torch.from_numpy(mask)] for p in parameters]
            update.keep(mask)
        update(parameters, [g[torch.from_numpy(left)] for g in step], number)
    return {int(i): [p[place] for p in parameters] for place, i in enumerate(left)}


def assert_alike(found: Sequence[Tensor], expected: Sequence[Tensor], tolerance: float = 1e-12) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def assert_equal(found: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    """To the last bit."""
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
