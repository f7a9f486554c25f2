"""Lanes moved together, each by its own rule, against the same lanes moved alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import fallline as fl
from fallline import rules
from fallline.math import dot, maximum, sqrt
from fallline.training.updates import LaneRule, LaneUpdate

SHAPES = [(5, 7), (5,), (3, 2, 2), ()]


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


FAMILIES: dict[str, list[tuple[Any, dict[str, Any]]]] = {
    "one rule, several rates": [(rules.adam, {"lr": lr}) for lr in (1e-3, 1e-2, 0.1)],
    "several rules": [
        (rules.gradient_descent, {"lr": 0.1}),
        (rules.adamw, {"lr": 0.01}),
        (rules.gradient_descent, {"lr": 0.3}),
        (rules.adagrad, {"lr": 0.1}),
    ],
    "reductions": [(trust_ratio, {"lr": 0.1}), (rules.momentum, {"lr": 0.1}), (trust_ratio, {"lr": 0.02})],
    "sums over all tensors": [(counting, {"lr": 0.1}), (rules.momentum, {"lr": 0.1}), (counting, {"lr": 0.02})],
    "numbers and dimensions": [(rules.nadam, {"lr": 0.1}), (rules.adamp, {"lr": 0.1}), (rules.nadam, {"lr": 0.02})],
    "torch classes": [
        (torch.optim.Adamax, {"lr": 0.01}),
        (rules.nesterov, {"lr": 0.1}),
        (torch.optim.Adamax, {"lr": 0.1}),
    ],
}


def lane(rule: Any, given: dict[str, Any]) -> LaneRule:
    defaults = rule.defaults if isinstance(rule, type(rules.adam)) else {}
    return LaneRule(rule, {**defaults, **given})


def start(lanes: int, dtype: torch.dtype, steps: int) -> tuple[list[Tensor], list[list[Tensor]]]:
    generator = torch.Generator().manual_seed(0)
    draw = [torch.randn((steps + 1, lanes, *shape), generator=generator, dtype=torch.float64) for shape in SHAPES]
    return [x[0].to(dtype) for x in draw], [[x[s].to(dtype) for x in draw] for s in range(1, steps + 1)]


def alone(spec: LaneRule, index: int, parameters: list[Tensor], gradients: list[list[Tensor]]) -> list[Tensor]:
    """The same lane as an ordinary optimizer on ordinary parameters."""
    own = [torch.nn.Parameter(p[index].clone()) for p in parameters]
    rule: Any = spec.rule
    made = rule(own, **spec.values) if isinstance(rule, type) else fl.Optimizer(own, rule, **spec.values)
    for step in gradients:
        for p, g in zip(own, step, strict=True):
            p.grad = g[index].clone()
        made.step()
    return [p.detach() for p in own]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_lane_in_a_population_and_alone_agree(family: str, dtype: torch.dtype) -> None:
    specs = [lane(rule, given) for rule, given in FAMILIES[family]]
    parameters, gradients = start(len(specs), dtype, steps=6)
    expected = [alone(spec, i, parameters, gradients) for i, spec in enumerate(specs)]
    update = LaneUpdate(parameters, specs)
    for number, step in enumerate(gradients, 1):
        update(parameters, step, number)
    tolerance = 1e-6 if dtype == torch.float32 else 1e-14
    for i, own in enumerate(expected):
        for stacked, single in zip(parameters, own, strict=True):
            torch.testing.assert_close(stacked[i], single, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("family", FAMILIES)
def test_dropped_lanes_do_not_move_the_others(family: str) -> None:
    specs = [lane(rule, given) for rule, given in FAMILIES[family]]
    parameters, gradients = start(len(specs), torch.float64, steps=6)
    expected = [alone(spec, i, parameters, gradients) for i, spec in enumerate(specs)]
    keep = np.array([i != 1 for i in range(len(specs))])
    update = LaneUpdate(parameters, specs)
    for number, step in enumerate(gradients, 1):
        if number == 4:
            update.keep(keep)
            parameters = [p[torch.from_numpy(keep)] for p in parameters]
        update(parameters, step if number < 4 else [g[torch.from_numpy(keep)] for g in step], number)
    for place, i in enumerate(np.flatnonzero(keep)):
        for stacked, single in zip(parameters, expected[i], strict=True):
            torch.testing.assert_close(stacked[place], single, rtol=1e-14, atol=1e-14)


def test_gradients_may_lie_anyhow() -> None:
    specs = [lane(rules.momentum, {"lr": 0.1}), lane(rules.adam, {"lr": 0.1})]
    plain, strided = torch.ones(2, 4, 3), torch.ones(2, 4, 3)
    gradient = torch.randn(2, 3, 4).transpose(1, 2)
    LaneUpdate([plain], specs)([plain], [gradient.contiguous()], 1)
    LaneUpdate([strided], specs)([strided], [gradient], 1)
    assert torch.equal(plain, strided)


def test_half_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="float32 or float64"):
        LaneUpdate([torch.ones(2, 3, dtype=torch.bfloat16)], [lane(rules.adam, {})] * 2)
