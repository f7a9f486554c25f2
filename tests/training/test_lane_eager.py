"""Lanes that no kernel takes: on another device, and in half precision."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch

from fallline import rules
from fallline.kernels import run_jointly
from fallline.schedules import cosine
from fallline.symbolic import Rule
from fallline.training.updates import LaneRule, LaneUpdate
from fallline.training.updates.lane_numbers import ScheduleFactors
from fallline.training.updates.movers import EagerMover, KernelMover, RuleMover
from tests.training.lane_runs import SHAPES, alone, assert_alike, counting, lane, start, together, trust_ratio

#: Said of the ordinary optimizer that stands beside the lanes.
pytestmark = pytest.mark.filterwarnings("ignore:the rule .* estimates its rate:UserWarning")

RULES: dict[str, Rule] = {**rules.ALL, "trust_ratio": trust_ratio, "counting": counting}


def moved(kind: type[RuleMover], rule: Rule) -> list[torch.Tensor]:
    """Five lanes after eight steps: three from the start, one dropped, one that joins later."""
    specs = [
        lane(rule, lr=factor * float(rule.defaults["lr"]), schedule=schedule)
        for factor, schedule in ((1.0, None), (10.0, cosine(10)), (3.0, None), (5.0, cosine(10)))
    ]
    parameters, gradients = start(5, 8)  # a lane of another mover is in the midst of them
    mover = kind(parameters, range(len(SHAPES)), specs[0], ScheduleFactors())
    mover.join([4, 0, 1], specs[:3], [0] * 3)
    for number, step in enumerate(gradients, 1):
        if number == 4:
            mover.join([3], specs[3:], [3])
        if number == 6:
            mover.keep(np.arange(5) != 0, np.arange(5))
        run_jointly([mover.prepare(parameters, step, number)])
        mover.finish()
    return parameters


@pytest.mark.parametrize("name", RULES)
def test_every_rule_as_its_kernel(name: str) -> None:
    assert_alike(moved(EagerMover, RULES[name]), moved(KernelMover, RULES[name]))


def test_no_copy_of_the_weights_is_kept_between_steps() -> None:
    spec = lane(rules.adam)
    parameters, gradients = start(2, 1, torch.bfloat16)
    mover = EagerMover(parameters, range(len(SHAPES)), spec, ScheduleFactors())
    mover.join([0, 1], [spec, spec], [0, 0])
    run_jointly([mover.prepare(parameters, gradients[0], 1)])
    mover.finish()
    states = {id(state) for states in mover.states for state in states.values()}
    kept = [held for held in gc.get_referents(vars(mover)) if isinstance(held, list)]
    assert all(id(part) in states for held in kept for part in held if isinstance(part, torch.Tensor))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", RULES)
def test_half_precision_as_an_ordinary_optimizer(name: str, dtype: torch.dtype) -> None:
    spec = lane(RULES[name], schedule=cosine(10))
    parameters, gradients = start(2, 4, dtype)
    found = together([spec, spec], parameters, gradients)
    assert_alike(found[1], alone(spec, 1, parameters, gradients), 2 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("name", ["adam", "trust_ratio", "counting", "prodigy"])
def test_types_may_differ_within_a_lane(name: str) -> None:
    spec = lane(RULES[name])
    parameters, gradients = start(2, 4)
    types = (torch.float32, torch.bfloat16, torch.float64, torch.bfloat16)
    parameters, *gradients = (
        [tensor.to(dtype) for tensor, dtype in zip(tensors, types, strict=True)] for tensors in (parameters, *gradients)
    )
    found = together([spec, spec], parameters, gradients)
    assert_alike(found[1], alone(spec, 1, parameters, gradients), 1e-6)


DEVICE_CASES: dict[str, LaneRule] = {
    "reductions": lane(trust_ratio),
    "a schedule and numbers": lane(rules.nadam, schedule=cosine(10)),
    "truth values from the host": lane(rules.radam),
    "Schedule-Free": lane(rules.schedule_free_adam),
    "another rule later": lane(rules.adam, then=(2, lane(rules.schedule_free_sgd, then=(1, lane(rules.lion))))),
    "a class": lane(torch.optim.Adamax, schedule=cosine(10)),
}


@pytest.mark.parametrize("spec", DEVICE_CASES.values(), ids=DEVICE_CASES)
def test_all_that_a_step_touches_is_on_the_device(spec: LaneRule) -> None:
    # torch's meta device computes nothing, and refuses to mix with the CPU as any other does.
    parameters, gradients = ([torch.empty(3, *shape, device="meta") for shape in SHAPES] for _ in range(2))
    update = LaneUpdate(parameters, [spec] * 3)
    for step in range(1, 5):
        if step == 4:
            update.keep(np.array([True, False, True]))
            parameters, gradients = ([torch.empty(2, *shape, device="meta") for shape in SHAPES] for _ in range(2))
        update(parameters, gradients, step)
        with update.evaluated(parameters):
            pass
    assert all(parameter.device.type == "meta" for parameter in parameters)
