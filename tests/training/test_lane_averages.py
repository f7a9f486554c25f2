"""What Schedule-Free lanes are evaluated at, against `fallline.optim`'s classes and their `eval` and `train`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fallline import optim, rules
from fallline.schedules import exponential
from fallline.symbolic import Rule
from fallline.training.updates import LaneRule, LaneUpdate
from tests.training.lane_runs import assert_alike, assert_equal, lane, ordinary_optimizer, start

SCHEDULE_FREE: dict[str, LaneRule] = {
    "SGD": lane(rules.schedule_free_sgd, lr=0.5),
    "Adam, with warm-up": lane(rules.schedule_free_adam, lr=0.1, beta=0.95, warmup=3.0),
    "of momentum, with decay": lane(rules.schedule_free(rules.l2(rules.momentum)), lr=0.1, weight_decay=0.1),
    "inside another rule": lane(rules.cautious(rules.schedule_free_sgd), lr=0.1),
    "with a schedule": lane(rules.schedule_free_sgd, lr=0.5, schedule=exponential(0.9)),
    "a class": lane(optim.ScheduleFreeAdamW, lr=0.1),
    "a class with a schedule": lane(optim.ScheduleFreeSGD, lr=0.5, schedule=exponential(0.9)),
}
POPULATION = [lane(rules.adam, lr=0.1), *SCHEDULE_FREE.values(), lane(torch.optim.SGD, lr=0.1)]
EVALUATED_AFTER = (0, 1, 4, 6)


def averages_alone(spec: LaneRule, index: int, parameters: list[Tensor], gradients: Any) -> list[list[Tensor]]:
    """What an ordinary optimizer holds after `eval`, after each of some steps."""
    own = [torch.nn.Parameter(p[index].clone()) for p in parameters]
    made: Any = ordinary_optimizer(spec, own)
    scheduler = None if spec.schedule is None else spec.schedule.drive(made)
    seen = []
    for step in range(len(gradients) + 1):
        if step:
            for p, g in zip(own, gradients[step - 1], strict=True):
                p.grad = g[index].clone()
            made.step()
            if scheduler is not None:
                scheduler.step()
        if step in EVALUATED_AFTER:
            made.eval()
            seen.append([p.detach().clone() for p in own])
            made.train()
    return seen


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_the_averages_are_those_of_the_classes(dtype: torch.dtype) -> None:
    parameters, gradients = start(len(POPULATION), 6, dtype)
    first = [p.clone() for p in parameters]
    update, seen = LaneUpdate(parameters, POPULATION), []
    for step in range(7):
        if step:
            update(parameters, gradients[step - 1], step)
        if step in EVALUATED_AFTER:
            with update.evaluated(parameters):
                seen.append([p.clone() for p in parameters])
    tolerance = {torch.float32: 1e-5, torch.float64: 1e-13, torch.bfloat16: 0.05}[dtype]
    for i, spec in enumerate(POPULATION[1:-1], 1):
        for found, expected in zip(seen, averages_alone(spec, i, first, gradients), strict=True):
            assert_alike([p[i] for p in found], expected, tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_training_goes_on_as_if_nothing_had_happened(dtype: torch.dtype) -> None:
    parameters, gradients = start(len(POPULATION), 6, dtype)
    undisturbed = [p.clone() for p in parameters]
    updates = [LaneUpdate(parameters, POPULATION), LaneUpdate(undisturbed, POPULATION)]
    for number, step in enumerate(gradients, 1):
        with updates[0].evaluated(parameters):
            for p, other in zip(parameters, undisturbed, strict=True):
                assert torch.equal(p[0], other[0])  # not Schedule-Free
                assert torch.equal(p[-1], other[-1])
                assert number < 3 or not torch.equal(p[1], other[1])  # the first average is the first iterate
        assert_equal(parameters, undisturbed)
        updates[0](parameters, step, number)
        updates[1](undisturbed, step, number)
    assert_equal(parameters, undisturbed)


def test_weights_are_put_back_after_an_error() -> None:
    parameters, gradients = start(len(POPULATION), 1)
    update = LaneUpdate(parameters, POPULATION)
    update(parameters, gradients[0], 1)
    before = [p.clone() for p in parameters]
    with pytest.raises(KeyError), update.evaluated(parameters):
        raise KeyError
    assert_equal(parameters, before)
    update(parameters, gradients[0], 2)


def test_averages_follow_lanes_that_are_left() -> None:
    parameters, gradients = start(len(POPULATION), 6)
    first = [p.clone() for p in parameters]
    update, left = LaneUpdate(parameters, POPULATION), np.arange(len(POPULATION))
    for number, step in enumerate(gradients, 1):
        if number == 4:
            mask = left % 2 == 0
            left, parameters = left[mask], [p[torch.from_numpy(mask)] for p in parameters]
            update.keep(mask)
        update(parameters, [g[torch.from_numpy(left)] for g in step], number)
    with update.evaluated(parameters):
        for place, i in enumerate(left):
            spec = POPULATION[i]
            if isinstance(spec.rule, Rule) and rules.keeps_average(spec.rule):
                expected = averages_alone(spec, int(i), first, gradients)[-1]
                assert_alike([p[place] for p in parameters], expected)


class Averaging(torch.optim.SGD):
    """Refuses to step before `train`, as some Schedule-Free classes do, and evaluates at zero."""

    training = False

    def train(self) -> None:
        self.training = True

    def eval(self) -> None:
        self.training = False
        for group in self.param_groups:
            for p in group["params"]:
                p.data.zero_()

    def step(self, closure: Any = None) -> Any:
        assert self.training
        return super().step(closure)


def test_classes_are_told_when_to_train_and_when_to_evaluate() -> None:
    weights = torch.ones(2, 3)
    update = LaneUpdate([weights], [lane(Averaging, lr=0.25), lane(rules.gradient_descent, lr=0.25)])
    for step in (1, 2):
        update([weights], [torch.ones(2, 3)], step)
        with update.evaluated([weights]):
            assert weights.tolist() == [[0.0] * 3, [1 - 0.25 * step] * 3]
    assert weights.tolist() == [[0.5] * 3] * 2
