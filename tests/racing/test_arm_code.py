"""The code to paste does what the arm's own optimizer does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn

import fallline as fl
from fallline import optim, rules
from fallline.racing.arms import Arm
from fallline.racing.arms.code import torch_code
from fallline.racing.arms.entrants import as_arms
from fallline.racing.arms.settings import SCHEDULES
from fallline.rules import DEFAULT_ARMS
from fallline.training import Problem, train
from fallline.training.population import make_lanes
from fallline.training.updates import LaneUpdate

INPUTS = torch.linspace(-1, 1, 36, dtype=torch.float64).reshape(12, 3)


def problem(**changes: Any) -> Problem:
    """Twelve steps on all the data, in an order that does not matter."""
    data = (INPUTS, torch.cos(3 * INPUTS[:, :2]))
    given = {"loss": nn.functional.mse_loss, "batch": 12, "epochs": 12, **changes}
    return Problem(model=lambda: nn.Linear(3, 2).double(), train=data, valid=data, name="cosines", **given)


PROBLEM = problem()


class OwnOptimizer(torch.optim.SGD):
    """A class of the user's."""


@fl.rule
def own_rule(p: Any, g: Any, *, lr: float = 0.1) -> Any:
    return lr * g


@fl.combinator
def own_combinator(rule: fl.symbolic.Rule) -> Any:
    def step(p: Any, g: Any, *states: Any, **hyperparameters: Any) -> Any:
        update, *states = rule(p, g, *states, **hyperparameters)
        return 0.5 * update, *states

    return step


def by_code(arm: Arm, configuration: Mapping[str, Any], of: Problem) -> list[torch.Tensor]:
    """The parameters after the code ran; what torch warns of is an error here."""
    model = of.build(0)
    train_set = torch.utils.data.TensorDataset(of.train.inputs, of.train.targets)
    there = {"model": model, "train": train_set, "loss": of.loss, "training_step": of.step}
    own = {"OwnOptimizer": OwnOptimizer, "own_rule": own_rule, "own_combinator": own_combinator}
    code = "\n".join(line for line in torch_code(arm, configuration, of).splitlines() if f"from {__name__}" not in line)
    torch.manual_seed(0)  # the order in a batch, on which rounding depends
    exec(compile(code, "pasted", "exec"), {**there, **own})
    return [p.detach() for p in model.parameters()]


def by_lane(arm: Arm, configuration: Mapping[str, Any], of: Problem) -> list[torch.Tensor]:
    """The parameters of the same run in a race."""
    recipe = arm.recipe(configuration, of)
    lanes = make_lanes(of.with_batch(recipe.batch), [0], batched=True)
    update = LaneUpdate(lanes.parameters, [recipe.lane])
    train(lanes, update, steps=recipe.steps)
    with update.evaluated(lanes.parameters):
        return [p[0].clone() for p in lanes.parameters]


def middle(arm: Arm) -> dict[str, Any]:
    return {name: dimension.at(0.5) for name, dimension in arm.space.items()}


def assert_same(arm: Arm, configuration: Mapping[str, Any], of: Problem = PROBLEM) -> None:
    for pasted, raced in zip(by_code(arm, configuration, of), by_lane(arm, configuration, of), strict=True):
        torch.testing.assert_close(pasted, raced, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("warm_up", [0.0, 0.25])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", DEFAULT_ARMS)
def test_default_arms_under_every_schedule(name: str, schedule: str, warm_up: float) -> None:
    (arm,) = as_arms([name])
    assert_same(arm, {**middle(arm), "schedule": schedule, "warm_up": warm_up})


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.parametrize("name", DEFAULT_ARMS)
def test_default_arms_with_decay_under_a_schedule(name: str, schedule: str) -> None:
    (arm,) = as_arms([name], search=["weight_decay"])
    assert_same(arm, {**middle(arm), "schedule": schedule})


@pytest.mark.parametrize("name", sorted(rules.ALL))
def test_every_rule_with_decay(name: str) -> None:
    arm = Arm(name, rules.find(name), fixed={"weight_decay": 0.03})
    assert_same(arm, middle(arm))


@pytest.mark.parametrize(
    "arm",
    [
        Arm("a", rules.l2(rules.nesterov), fixed={"weight_decay": 0.1, "momentum": 0.5}),
        Arm("a", rules.nesterov, fixed={"momentum": 0.0}),  # torch's class refuses it
        Arm("a", rules.l2(rules.nesterov), fixed={"momentum": 0.0}),
        Arm("a", rules.l2(rules.nadam), fixed={"weight_decay": 0.1, "beta1": 0.7}),
        Arm("a", rules.decoupled_decay(rules.nadam)),
        Arm("a", rules.decoupled_decay(rules.amsgrad), fixed={"eps": 1e-4}),
        Arm("a", rules.heavy_ball(rules.rmsprop), fixed={"momentum": 0.3, "alpha": 0.9}),
        Arm("a", rules.dampened_momentum, fixed={"dampening": 0.3}),
        Arm("a", rules.adagrad, fixed={"lr_decay": 0.1}),
        Arm("a", rules.clip_norm(rules.cautious(rules.lion))),
        Arm("a", rules.adamp, fixed={"nesterov": True}),
        Arm("a", torch.optim.AdamW, {"beta2": (0.1, 0.9)}, {"weight_decay": 0.1}),
        Arm("a", torch.optim.ASGD),
        Arm("a", optim.Adam, fixed={"betas": (0.8, 0.9)}),
        Arm("a", optim.SOAP),
        Arm("a", optim.Adafactor),
        Arm("a", optim.ScheduleFreeAdamW),
        Arm("a", optim.Lion),
        Arm("a", OwnOptimizer),
        Arm("a", own_rule),
        Arm("a", rules.l2(own_combinator(own_rule)), fixed={"schedule": "cosine"}),
        Arm.phases("a", ["adam", "sgd"]),
        Arm.phases("a", ["adam", "nesterov"], fixed={"schedule": "cosine", "warm_up": 0.3, "switch": 0.5}),
        Arm.phases("a", ["sgd", "schedule_free_adam"], fixed={"warm_up": 0.1}),
        Arm.phases("a", ["sgd", torch.optim.Adam], fixed={"schedule": "one_cycle", "beta1_2": 0.5}),
    ],
    ids=lambda arm: f"{arm.method}"[:60],
)
def test_all_that_an_arm_can_be(arm: Arm) -> None:
    assert_same(arm, middle(arm))


@pytest.mark.parametrize("epochs", [1, 2, 3, 4])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_shortest_runs(schedule: str, epochs: int) -> None:
    assert_same(as_arms(["momentum"])[0], {"lr": 0.1, "schedule": schedule, "warm_up": 0.4}, problem(epochs=epochs))
    assert_same(as_arms(["momentum"])[0], {"lr": 0.1, "schedule": schedule}, problem(epochs=epochs))


@pytest.mark.parametrize(
    ("arm", "configuration", "lines"),
    [
        (Arm("a", rules.gradient_descent), {"lr": 0.1}, ["torch.optim.SGD(model.parameters(), lr=0.1)"]),
        (Arm("a", rules.adam), {"lr": 0.001}, ["torch.optim.Adam(model.parameters(), lr=0.001)"]),
        (Arm("a", rules.adamw), {"lr": 0.1, "beta1": 0.5},
         ["torch.optim.AdamW(model.parameters(), lr=0.1, betas=(0.5, 0.999))"]),
        (Arm("a", rules.momentum), {"lr": 0.1, "batch": 6},
         ["batch_size=6, shuffle=True", "torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)"]),
        (Arm("a", rules.gradient_descent, fixed={"weight_decay": 0.01}), {"lr": 0.1},
         ["torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.01)"]),
        (Arm("a", rules.nesterov, fixed={"momentum": 0.0}), {"lr": 0.1},
         ["torch.optim.SGD(model.parameters(), lr=0.1)"]),
        (Arm("a", rules.lion), {"lr": 0.1}, ["import fallline\n", "fallline.optim.Lion(model.parameters(), lr=0.1)"]),
        (Arm("a", rules.radam_paper), {"lr": 0.1},
         ["fallline.Optimizer(model.parameters(), fallline.rules.radam_paper, lr=0.1)"]),
        (Arm("a", optim.SGD), {"lr": 0.1, "momentum": 0.5},
         ["torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)"]),
        (Arm("a", OwnOptimizer), {"lr": 0.1},
         [f"from {__name__} import OwnOptimizer\n", "optimizer = OwnOptimizer(model.parameters(), lr=0.1)"]),
        (Arm("a", rules.schedule_free_sgd), {"lr": 0.1}, ["optimizer.train()\n", "\noptimizer.eval()"]),
        (Arm("a", rules.gradient_descent), {"lr": 0.1, "schedule": "one_cycle"},
         ["OneCycleLR(optimizer, max_lr=0.1, total_steps=12, pct_start=0.3, cycle_momentum=False)\n",
          "        scheduler.step()\n"]),
        (Arm("a", rules.gradient_descent), {"lr": 0.1, "schedule": "cosine", "warm_up": 0.25},
         ["import math\n", "    if step < 3:\n        return (step + 1) / 4\n", "LambdaLR(optimizer, factor)"]),
    ],
)  # fmt: skip
def test_what_the_code_says(arm: Arm, configuration: Mapping[str, Any], lines: list[str]) -> None:
    code = torch_code(arm, configuration, PROBLEM)
    assert all(line in code for line in lines), code


def test_a_rate_that_stays_needs_no_scheduler() -> None:
    assert "scheduler" not in torch_code(as_arms(["adam"])[0], {"lr": 0.1, "schedule": "constant"}, PROBLEM)


def test_a_step_of_the_users() -> None:
    def step(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return nn.functional.l1_loss(model(inputs), targets)

    stepping, (arm,) = problem(step=step), as_arms(["sgd"])
    assert "training_step(model, inputs, targets).backward()" in torch_code(arm, {"lr": 0.1}, stepping)
    model = stepping.build(0)
    optimizer = arm.optimizer(model.parameters(), {"lr": 0.1}, stepping)
    for _ in range(stepping.steps):
        optimizer.zero_grad()
        stepping.training_loss(model, stepping.train.inputs, stepping.train.targets).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    torch.testing.assert_close(by_code(arm, {"lr": 0.1}, stepping), [p.detach() for p in model.parameters()])


def test_a_precision() -> None:
    data = (INPUTS.float(), INPUTS[:, :2].float())
    half = Problem(
        model=lambda: nn.Linear(3, 2), loss=nn.functional.mse_loss, train=data, valid=data, precision="bfloat16"
    )
    (arm,) = as_arms(["sgd"])
    assert "with torch.autocast(inputs.device.type, torch.bfloat16):" in torch_code(arm, {"lr": 0.1}, half)
    before, after = half.build(0).parameters(), by_code(arm, {"lr": 0.1}, half)
    assert all(not torch.equal(p, q) and q.isfinite().all() for p, q in zip(before, after, strict=True))
