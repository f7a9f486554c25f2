"""Lanes moved together, each by its own rule, against the same lanes moved alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import fallline as fl
from fallline import optim, rules
from fallline.schedules import cosine, warmup
from fallline.training.updates import LaneRule, LaneUpdate
from tests.training.lane_runs import alone, assert_alike, counting, lane, start, together, trust_ratio

FAMILIES: dict[str, list[LaneRule]] = {
    "one rule, several rates": [lane(rules.adam, lr=lr) for lr in (1e-3, 1e-2, 0.1)],
    "several rules": [
        lane(rules.gradient_descent, lr=0.1),
        lane(rules.adamw, lr=0.01),
        lane(rules.gradient_descent, lr=0.3),
        lane(rules.adagrad, lr=0.1),
    ],
    "static hyperparameters": [lane(rules.adamp, lr=lr, nesterov=lr > 0.1) for lr in (0.1, 0.2, 0.3)],
    "reductions": [lane(trust_ratio, lr=0.1), lane(rules.momentum, lr=0.1), lane(trust_ratio, lr=0.02)],
    "sums over all tensors": [lane(counting, lr=0.1), lane(rules.momentum, lr=0.1), lane(counting, lr=0.02)],
    "one sum in several rules": [  # the movers have their highest lanes at different places
        lane(rules.clip_norm(rules.gradient_descent), lr=0.1, max_norm=0.5),
        lane(rules.clip_norm(rules.momentum), lr=0.1, max_norm=0.1),
        lane(rules.clip_norm(rules.gradient_descent), lr=0.1, max_norm=1.0),
        lane(rules.clip_norm(rules.adam), lr=0.1, max_norm=0.2),
        lane(rules.maximize(rules.clip_norm(rules.adam)), lr=0.1, max_norm=0.2),
    ],
    "numbers and dimensions": [lane(rules.nadam, lr=0.1), lane(rules.adamp, lr=0.1), lane(rules.nadam, lr=0.02)],
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_lane_in_a_population_and_alone_agree(family: str, dtype: torch.dtype) -> None:
    specs = FAMILIES[family]
    parameters, gradients = start(len(specs), 6, dtype)
    found = together(specs, parameters, gradients)
    for i, spec in enumerate(specs):
        assert_alike(found[i], alone(spec, i, parameters, gradients), 1e-6 if dtype == torch.float32 else 1e-14)


@pytest.mark.parametrize("family", FAMILIES)
def test_dropped_lanes_do_not_move_the_others(family: str) -> None:
    specs = FAMILIES[family]
    parameters, gradients = start(len(specs), 6)
    found = together(specs, parameters, gradients, drop={4: [1]})
    assert len(found) == len(specs) - 1
    for i, own in found.items():
        assert_alike(own, alone(specs[i], i, parameters, gradients), 1e-14)


SCENARIOS: dict[str, dict[str, Any]] = {
    "constant rate": {},
    "cosine schedule": {"schedule": warmup(2).then(cosine(4))},
    "a lane dropped": {"schedule": 0.5 * cosine(7), "drop": {4: [0]}},
}


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("name", rules.ALL)
def test_every_rule(name: str, scenario: str) -> None:
    rule, drop = rules.ALL[name], SCENARIOS[scenario].get("drop")
    rate = float(rule.defaults["lr"])
    schedule = SCENARIOS[scenario].get("schedule")
    specs = [lane(rule, lr=factor * rate, schedule=schedule) for factor in (1.0, 10.0, 3.0)]
    parameters, gradients = start(len(specs), 6)
    for i, own in together(specs, parameters, gradients, drop).items():
        assert_alike(own, alone(specs[i], i, parameters, gradients))


CLASSES: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "torch's Adamax": (torch.optim.Adamax, {"lr": 0.1}),
    "torch's SGD, its own default rate": (torch.optim.SGD, {"momentum": 0.9}),
    "torch's ASGD": (torch.optim.ASGD, {"lr": 0.1}),
    "torch's Rprop": (torch.optim.Rprop, {"lr": 0.1}),
    "SOAP": (optim.SOAP, {"lr": 0.1}),
    "Adafactor": (optim.Adafactor, {"lr": 0.1}),
    "Muon": (optim.Muon, {"lr": 0.1}),
    "full-matrix Adagrad": (optim.FullMatrixAdagrad, {"lr": 0.1}),
    "one rule by its class": (optim.LAMB, {"lr": 0.1}),
}


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("kind", CLASSES)
def test_optimizer_classes(kind: str, scenario: str) -> None:
    made, given = CLASSES[kind]
    drop, schedule = SCENARIOS[scenario].get("drop"), SCENARIOS[scenario].get("schedule")
    specs = [lane(rules.nesterov, lr=0.1), lane(made, schedule=schedule, **given), lane(made, **given)]
    parameters, gradients = start(len(specs), 6, shapes=[(5, 7), (3, 4)])  # matrices, which all of them take
    for i, own in together(specs, parameters, gradients, drop).items():
        assert_alike(own, alone(specs[i], i, parameters, gradients))


def test_a_single_tensor_knows_its_dimensions() -> None:
    specs = [lane(rules.adamp, lr=0.1), lane(rules.adamp, lr=0.2)]
    parameters, _ = start(2, 1, shapes=[(4, 3)])
    across = [[p.flip(2) * torch.tensor([1, 0, -1])] for p in parameters]  # so that AdamP projects
    found = together(specs, parameters, across)
    for i, spec in enumerate(specs):
        assert_alike(found[i], alone(spec, i, parameters, across))


def test_tensors_without_elements_are_left_alone() -> None:
    parameters = [torch.ones(2, 3), torch.ones(2, 0, 3)]
    LaneUpdate(parameters, [lane(rules.adam, lr=0.5)] * 2)(parameters, [torch.ones(2, 3), torch.ones(2, 0, 3)], 1)
    torch.testing.assert_close(parameters[0], torch.full((2, 3), 0.5))
    nothing = [torch.ones(2, 0)]
    LaneUpdate(nothing, [lane(rules.adam, lr=0.5)] * 2)(nothing, [torch.ones(2, 0)], 1)


def test_gradients_may_lie_anyhow() -> None:
    specs = [lane(rules.momentum, lr=0.1), lane(rules.adam, lr=0.1)]
    plain, strided = torch.ones(2, 4, 3), torch.ones(2, 4, 3)
    gradient = torch.randn(2, 3, 4).transpose(1, 2)
    LaneUpdate([plain], specs)([plain], [gradient.contiguous()], 1)
    LaneUpdate([strided], specs)([strided], [gradient], 1)
    assert torch.equal(plain, strided)


@fl.rule
def without_rate(p, g, *, speed=0.1):  # type: ignore[no-untyped-def]
    return speed * g


class WithoutRate(torch.optim.Optimizer):
    def __init__(self, params: Any, speed: float = 0.1) -> None:
        super().__init__(params, {"speed": speed})


REFUSED: dict[str, tuple[type[Exception], str, Any]] = {
    "a schedule without a rate": (ValueError, "no learning rate 'lr'", lambda: lane(without_rate, schedule=cosine(3))),
    "so for a class": (ValueError, "'WithoutRate' has no learning rate", lambda: lane(WithoutRate, schedule=cosine(3))),
    "a plain function": (TypeError, r"Schedule\(function\)", lambda: lane(rules.adam, schedule=lambda step: 1.0)),
    "a value left out": (ValueError, "needs one for beta2, eps", lambda: LaneRule(rules.adam, {"lr": 1, "beta1": 0})),
    "no updates": (ValueError, "from 1; got 0", lambda: lane(rules.adam, then=(0, lane(rules.adam)))),
    "half an update": (TypeError, "got 1.5", lambda: lane(rules.adam, then=(1.5, lane(rules.adam)))),
    "a rule that is no lane": (TypeError, "LaneRule", lambda: lane(rules.adam, then=(3, rules.adam))),
    "an average out of reach": (ValueError, "'beta'.* above 0", lambda: lane(rules.schedule_free_sgd, beta=0.0)),
    "whole numbers": (ValueError, "floating-point", lambda: LaneUpdate([torch.ones(1, 2).long()], [lane(rules.adam)])),
}  # fmt: skip


@pytest.mark.parametrize(("error", "message", "made"), REFUSED.values(), ids=REFUSED)
def test_refusals(error: type[Exception], message: str, made: Any) -> None:
    with pytest.raises(error, match=message):
        made()
