"""Lanes whose rule changes in mid-training, and schedules that many lanes share."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from fallline import optim, rules
from fallline.schedules import Schedule, cosine, exponential
from fallline.training.updates import LaneRule
from tests.training.lane_runs import alone, assert_alike, assert_equal, counting, lane, start, together, trust_ratio

SGD = lane(rules.gradient_descent, lr=0.2)
ADAM = lane(rules.adam, lr=0.1)
CHANGING: dict[str, LaneRule] = {
    "to a rule that others follow": lane(rules.adam, lr=0.1, then=(4, SGD)),
    "to a rule of its own": lane(rules.adam, lr=0.1, then=(4, lane(rules.lion, lr=0.01))),
    "after one step": lane(rules.momentum, lr=0.1, then=(1, ADAM)),
    "after the last step": lane(rules.momentum, lr=0.1, then=(9, ADAM)),
    "to the same rule, with a count from 1": lane(rules.adam, lr=0.1, then=(4, ADAM)),
    "a chain": lane(rules.adam, lr=0.1, then=(2, lane(rules.lion, lr=0.01, then=(3, lane(rules.adam, lr=0.01))))),
    "schedules that count the run's steps": lane(
        rules.adam, lr=0.1, schedule=cosine(4), then=(4, lane(rules.nadam, lr=0.2, schedule=exponential(0.8)))
    ),
    "numbers, and a state that begins as the gradient": lane(counting, lr=0.1, then=(4, lane(trust_ratio, lr=0.1))),
    "to sums over all tensors": lane(trust_ratio, lr=0.1, then=(4, lane(counting, lr=0.1))),
    "to an optimizer class": lane(rules.adam, lr=0.1, then=(4, lane(torch.optim.Adamax, schedule=exponential(0.5)))),
    "from an optimizer class": lane(torch.optim.Adamax, lr=0.1, then=(4, ADAM)),
    "from the average of Schedule-Free": lane(rules.schedule_free_adam, lr=0.1, then=(4, SGD)),
    "from the average of a Schedule-Free class": lane(optim.ScheduleFreeAdamW, lr=0.1, then=(4, SGD)),
    "to Schedule-Free": lane(rules.adam, lr=0.1, then=(4, lane(rules.schedule_free_sgd, lr=0.1))),
}
OTHERS = [
    SGD,
    ADAM,
    lane(counting, lr=0.2),
    lane(rules.nadam, lr=0.1),
    lane(trust_ratio, lr=0.1),
    lane(rules.schedule_free_adam, lr=0.2),
    lane(optim.ScheduleFreeAdamW, lr=0.2),
]


@pytest.mark.parametrize("spec", CHANGING.values(), ids=CHANGING)
def test_a_changing_lane_and_optimizers_one_after_the_other_agree(spec: LaneRule) -> None:
    specs = [*OTHERS, spec, spec]
    parameters, gradients = start(len(specs), 9)
    found = together(specs, parameters, gradients)
    for i in (len(OTHERS), len(OTHERS) + 1):
        assert_alike(found[i], alone(spec, i, parameters, gradients))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("spec", CHANGING.values(), ids=CHANGING)
def test_the_others_are_not_disturbed(spec: LaneRule, dtype: torch.dtype) -> None:
    parameters, gradients = start(len(OTHERS) + 1, 9, dtype)
    with_it = together([*OTHERS, spec], parameters, gradients)
    without = together(OTHERS, parameters, gradients)
    for i in range(len(OTHERS)):
        assert_equal(with_it[i], without[i])


@pytest.mark.parametrize("at", [2, 4, 5, 6, 8], ids="dropped before step {}".format)
@pytest.mark.parametrize("dropped", [[0], [7], [8], [0, 7], [1, 8]], ids=str)
def test_lanes_may_be_dropped_at_any_step(dropped: Sequence[int], at: int) -> None:
    changing = [lane(rules.adam, lr=lr, schedule=cosine(20), then=(4, SGD)) for lr in (0.1, 0.05, 0.2)]
    specs = [*OTHERS, *changing]
    parameters, gradients = start(len(specs), 9)
    whole = together(specs, parameters, gradients)
    for i, own in together(specs, parameters, gradients, drop={at: dropped}).items():
        assert_equal(own, whole[i])


def test_lanes_that_change_at_different_steps_share_a_mover() -> None:
    specs = [lane(rules.gradient_descent, lr=0.1, then=(steps, ADAM)) for steps in (1, 2, 4, 4, 7)]
    parameters, gradients = start(len(specs), 9)
    for i, own in together(specs, parameters, gradients).items():
        assert_alike(own, alone(specs[i], i, parameters, gradients))


def test_equal_schedules_are_evaluated_once_a_step() -> None:
    asked: list[int] = []

    def law(step: int, pace: float) -> float:
        asked.append(step)
        return 1 / (1 + pace * step)

    rates = (0.1, 0.2, 0.3)
    specs = [lane(rule, lr=lr, schedule=Schedule(law, (0.5,))) for rule in (rules.adam, rules.lion) for lr in rates]
    specs.append(lane(torch.optim.Adamax, schedule=Schedule(law, (0.5,))))
    parameters, gradients = start(len(specs), 5)
    together(specs, parameters, gradients)
    assert asked == list(range(5))


def test_arguments_of_a_law_may_be_anything() -> None:
    spec = lane(rules.adam, lr=0.1, schedule=Schedule(lambda step, table: table[step], ([1.0, 0.5, 0.25, 0.0],)))
    parameters, gradients = start(2, 3)
    found = together([spec, spec], parameters, gradients)
    assert_alike(found[1], alone(spec, 1, parameters, gradients))
