"""From a configuration to a run: batch size, steps, rates, phases; in a lane and as a torch optimizer alike."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn

import fallline as fl
from fallline import optim, rules
from fallline.racing.arms import Arm
from fallline.racing.arms.dimensions import Choice, Range
from fallline.racing.arms.entrants import as_arms
from fallline.racing.arms.settings import SCHEDULES, make_schedule
from fallline.training import Problem
from fallline.training.updates import LaneUpdate

X = torch.linspace(-1, 1, 240, dtype=torch.float64).reshape(80, 3)
PROBLEM = Problem(
    model=lambda: nn.Linear(3, 2).double(),
    loss=nn.functional.mse_loss,
    train=(X, X[:, :2] ** 2),
    valid=(X, X[:, :2] ** 2),
    batch=16,
    epochs=4,
)
BATCH = Choice((8, 16, 64))


class OwnOptimizer(torch.optim.Optimizer):
    """Gradient descent with decoupled decay, written out."""

    def __init__(self, params: Any, lr: float = 0.1, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(group["lr"] * (p.grad + group["weight_decay"] * p))


@pytest.mark.parametrize(
    ("settings", "share", "batch", "steps", "lr"),
    [
        ({}, (1, 1), 16, 20, 0.1),
        ({"batch": 64}, (1, 1), 64, 8, 0.4),
        ({"batch": 8}, (1, 1), 8, 40, 0.05),
        ({"batch": 8}, (1, 3), 8, 10, 0.05),
        ({"batch": 64}, (1, 9), 64, 2, 0.4),
    ],
)
def test_batch_steps_and_linear_scaling(
    settings: Mapping[str, Any], share: tuple[int, int], batch: int, steps: int, lr: float
) -> None:
    arm = Arm("sgd", rules.gradient_descent, {"batch": BATCH})
    configuration = {"lr": 0.1, **settings}
    recipe = arm.recipe(configuration, PROBLEM, share)
    assert (recipe.batch, recipe.steps, recipe.lane.values) == (batch, steps, {"lr": pytest.approx(lr)})
    (group,) = arm.optimizer([nn.Parameter(torch.ones(1))], configuration, PROBLEM).param_groups
    assert group["lr"] == pytest.approx(lr)
    reported = arm.report(configuration, PROBLEM)
    assert reported == ({**configuration, "run_lr": pytest.approx(lr)} if settings else configuration)


@pytest.mark.parametrize(
    ("settings", "steps", "factors"),
    [
        ({}, 4, None),
        ({"schedule": "constant"}, 4, None),
        ({"warm_up": 0.0}, 4, None),
        ({"warm_up": 0.1}, 4, None),  # less than half a step
        ({"warm_up": 0.5}, 4, [1 / 3, 2 / 3, 1, 1]),
        ({"warm_up": 0.9}, 3, [1 / 3, 2 / 3, 1]),
        ({"schedule": "linear"}, 4, [1, 0.75, 0.5, 0.25]),
        ({"schedule": "linear", "warm_up": 0.2}, 5, [0.5, 1, 0.75, 0.5, 0.25]),
        ({"schedule": "cosine"}, 4, [1, 0.8535533905932737, 0.5, 0.1464466094067262]),
        ({"schedule": "cosine", "warm_up": 0.6}, 5, [0.25, 0.5, 0.75, 1, 0.5]),
        ({"schedule": "warmup-stable-decay"}, 1, [1]),
        ({"schedule": "warmup-stable-decay"}, 10, [1, 1, 1, 1, 1, 1, 1, 1, 1, 0.5]),  # a twentieth of 10 rounds to 0
        ({"schedule": "warmup-stable-decay"}, 20, [0.5, *[1.0] * 16, 0.75, 0.5, 0.25]),
        ({"schedule": "warmup-stable-decay", "warm_up": 0.0}, 5, [1, 1, 1, 1, 1]),
        ({"schedule": "warmup-stable-decay", "warm_up": 0.2}, 10, [1 / 3, 2 / 3, 1, 1, 1, 1, 1, 1, 1, 0.5]),
        ({"schedule": "one_cycle"}, 1, None),
        ({"schedule": "one_cycle"}, 2, [0.52 + 0.48 * 0, 1 / 250_000]),
        ({"schedule": "one_cycle", "warm_up": 0.99}, 3, [1 / 3, 2 / 3, 1]),
    ],
)
def test_schedules(settings: Mapping[str, Any], steps: int, factors: list[float] | None) -> None:
    schedule = make_schedule(settings, steps)
    if factors is None or schedule is None:
        assert factors is None
        assert schedule is None
    elif settings.get("schedule") == "one_cycle" and steps == 2:  # the peak lies between the two
        assert 1 / 25 <= schedule(0) < 1
        assert schedule(1) == pytest.approx(1 / 250_000)
    else:
        assert [schedule(step) for step in range(steps)] == pytest.approx(factors)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("warm_up", [0.0, 0.2])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 100])
def test_schedules_of_any_length_stay_within_the_rate(name: str, warm_up: float, steps: int) -> None:
    schedule = make_schedule({"schedule": name, "warm_up": warm_up}, steps)
    factors = [1.0] if schedule is None else [schedule(step) for step in range(steps)]
    assert 0 <= min(factors) <= max(factors) <= 1


@pytest.mark.parametrize(
    ("arm", "told", "fixed"),
    [
        (Arm("a", rules.adam), ("cosine", None), {"schedule": "cosine"}),
        (Arm("a", rules.adam), ("linear", 0.1), {"schedule": "linear", "warm_up": 0.1}),
        (Arm("a", rules.adam), ("constant", 0.1), {"warm_up": 0.1}),
        (Arm("a", rules.adam), ("constant", None), {}),
        (Arm("a", rules.adam, fixed={"schedule": "linear"}), ("cosine", 0.1), {"schedule": "linear", "warm_up": 0.1}),
        (Arm("a", rules.adam, {"schedule": Choice(("linear",))}), ("cosine", None), {}),
        (Arm("a", rules.adam, {"warm_up": Range(0.0, 0.2, "linear")}), ("cosine", 0.1), {"schedule": "cosine"}),
        (Arm("a", rules.adam, fixed={"lr": 0.1}), ("cosine", 0.1), {"lr": 0.1}),  # somebody's own setting
        (Arm("a", rules.schedule_free_sgd), ("cosine", 0.1), {"warm_up": 0.1}),  # its average is its schedule
        (Arm("a", optim.ScheduleFreeAdamW), ("cosine", None), {}),
        (Arm.phases("a", ["adam", "sgd"]), ("cosine", None), {"schedule": "cosine"}),
        (Arm.phases("a", ["adam", "sgd"], fixed={"schedule": "linear"}), ("cosine", None), {"schedule": "linear"}),
    ],
)
def test_an_arm_under_the_schedule_of_the_race(arm: Arm, told: tuple[str, float | None], fixed: dict[str, Any]) -> None:
    found = arm.under(*told)
    assert (found.fixed, found.space, found.name) == (fixed, arm.space, arm.name)
    settings = {name: dimension.at(0.5) for name, dimension in arm.space.items()}
    factors = found.schedule(settings, PROBLEM)
    assert (factors is None) == (not {"schedule", "warm_up"} & {*fixed, *arm.space})


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        (("cosin", None), "arm 'a': 'schedule' must be a Choice of constant, linear, cosine, warmup-stable-decay"),
        (("cosine", 1.0), "arm 'a': 'warm_up' must be a share of the steps, from 0 to less than 1"),
    ],
)
def test_no_such_schedule_of_a_race(told: tuple[str, float | None], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Arm("a", rules.adam).under(*told)


def _by_lane(arm: Arm, configuration: Mapping[str, Any]) -> list[torch.Tensor]:
    """The parameters after a whole run of full batches, moved as a lane."""
    recipe = arm.recipe(configuration, PROBLEM)
    model = PROBLEM.build(0)
    stacked = [p.detach().clone()[None] for p in model.parameters()]
    update = LaneUpdate(stacked, [recipe.lane])
    for step in range(1, recipe.steps + 1):
        with torch.no_grad():
            for p, row in zip(model.parameters(), stacked, strict=True):
                p.copy_(row[0])
        gradients = torch.autograd.grad(PROBLEM.training_loss(model, *_data()), list(model.parameters()))
        update(stacked, [g[None].contiguous() for g in gradients], step)
    with update.evaluated(stacked):
        return [row[0].clone() for row in stacked]


def _by_optimizer(arm: Arm, configuration: Mapping[str, Any]) -> list[torch.Tensor]:
    """The same by the arm's optimizer, driven by the arm's schedule."""
    model = PROBLEM.build(0)
    optimizer = arm.optimizer(model.parameters(), configuration, PROBLEM)
    schedule = arm.schedule(configuration, PROBLEM)
    scheduler = None if schedule is None else schedule.drive(optimizer)
    for _ in range(arm.recipe(configuration, PROBLEM).steps):
        optimizer.zero_grad()
        PROBLEM.training_loss(model, *_data()).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    if isinstance(optimizer, optim.ScheduleFree):
        optimizer.eval()
    return [p.detach() for p in model.parameters()]


def _data() -> tuple[torch.Tensor, torch.Tensor]:
    return PROBLEM.train.inputs, PROBLEM.train.targets


@pytest.mark.parametrize(
    ("arm", "configuration"),
    [
        (Arm("a", rules.momentum, {"momentum": (0.1, 0.9)}), {"lr": 0.1, "momentum": 0.5}),
        (Arm("a", rules.adam, fixed={"schedule": "cosine", "warm_up": 0.2}), {"lr": 0.1}),
        (Arm("a", rules.gradient_descent, fixed={"weight_decay": 0.1}), {"lr": 0.1}),
        (Arm("a", rules.schedule_free_sgd), {"lr": 0.3}),
        (Arm("a", rules.schedule_free_adam, fixed={"weight_decay": 0.1, "warm_up": 0.3}), {"lr": 0.1}),
        (Arm("a", torch.optim.Adam, {"beta1": (0.1, 0.9), "schedule": Choice(("linear",))}),
         {"lr": 0.1, "beta1": 0.5, "schedule": "linear"}),
        (Arm("a", OwnOptimizer, {"schedule": Choice(("cosine",)), "weight_decay": (1e-4, 0.1), "batch": BATCH}),
         {"lr": 0.1, "schedule": "cosine", "weight_decay": 0.05, "batch": 64}),
        (Arm("a", optim.SOAP, fixed={"schedule": "one_cycle"}), {"lr": 0.01}),
        (Arm("a", rules.adamp, {"nesterov": Choice((False, True))}), {"lr": 0.1, "nesterov": True}),
    ],
)  # fmt: skip
def test_a_lane_and_the_optimizer_take_the_same_path(arm: Arm, configuration: Mapping[str, Any]) -> None:
    for by_lane, by_optimizer in zip(_by_lane(arm, configuration), _by_optimizer(arm, configuration), strict=True):
        torch.testing.assert_close(by_lane, by_optimizer, rtol=1e-9, atol=1e-12)


@fl.rule
def rateless(p: Any, g: Any, *, rate: float = 0.1) -> Any:
    return rate * g


def test_what_has_no_learning_rate_is_not_scaled() -> None:
    arm = Arm("a", rateless, {"rate": (0.1, 1.0), "batch": BATCH})
    assert arm.recipe({"rate": 0.5, "batch": 64}, PROBLEM).lane.values == {"rate": 0.5}
    assert arm.further(["schedule", "weight_decay"]) is arm


def test_the_parts_of_betas_go_together() -> None:
    arm = Arm("a", torch.optim.AdamW, {"beta2": Range(0.9, 0.999, "complement")}, {"weight_decay": 0.1})
    (group,) = arm.make([nn.Parameter(torch.ones(1))], {"lr": 0.1, "beta2": 0.95}).param_groups
    assert (group["betas"], group["weight_decay"]) == ((0.9, 0.95), 0.1)


def test_phases() -> None:
    arm = Arm.phases("both", ["adam", Arm("m", rules.momentum, {"momentum": (0.5, 0.9)})], {"batch": BATCH},
                     {"schedule": "linear", "beta1": 0.8})  # fmt: skip
    assert list(arm.space) == ["lr", "lr_2", "momentum_2", "batch", "switch"]
    configuration = {"lr": 0.1, "lr_2": 0.2, "momentum_2": 0.7, "batch": 8, "switch": 0.3}
    recipe = arm.recipe(configuration, PROBLEM)
    first = recipe.lane
    assert first.then is not None
    at, second = first.then
    assert (recipe.steps, at, first.rule, second.rule) == (40, 12, rules.adam, rules.momentum)
    assert (first.values["lr"], first.values["beta1"]) == (0.05, 0.8)
    assert second.values == {"lr": 0.1, "momentum": 0.7}
    assert first.schedule == second.schedule == make_schedule({"schedule": "linear"}, 40)
    assert arm.report(configuration, PROBLEM) == {**configuration, "run_lr": 0.05, "run_lr_2": 0.1}
    assert arm.bytes_per_parameter == Arm("adam", rules.adam).bytes_per_parameter
    assert {"beta2": 0.999, "schedule": "linear"}.items() <= arm.fixed_values.items()


@pytest.mark.parametrize(("switch", "steps", "at"), [(0.1, (1, 20), None), (0.1, (1, 10), 1), (0.9, (3, 20), 2)])
def test_each_phase_has_a_step_where_there_are_two(switch: float, steps: tuple[int, int], at: int | None) -> None:
    problem = PROBLEM.with_batch(4)
    problem.epochs = 1  # of 20 steps, which a share is then counted in
    lane = Arm.phases("both", ["adam", "sgd"]).recipe({"lr": 0.1, "lr_2": 0.1, "switch": switch}, problem, steps).lane
    assert (None if lane.then is None else lane.then[0]) == at


def test_further_dimensions_of_phases() -> None:
    (arm,) = as_arms([Arm.phases("both", ["adam", "momentum"])], ["momentum", "beta1", "batch"], PROBLEM)
    assert list(arm.space) == ["lr", "beta1", "lr_2", "momentum_2", "switch", "batch"]
    recipe = arm.recipe({name: dimension.at(0.5) for name, dimension in arm.space.items()}, PROBLEM)
    assert recipe.lane.then is not None


@pytest.mark.parametrize(
    ("search", "sgd", "adamw"),
    [
        (["lr"], [], []),
        (["momentum", "beta2"], None, ["beta2"]),
        (["weight_decay"], ["weight_decay"], ["weight_decay"]),
        (["batch", "schedule", "warm_up"], ["batch", "schedule", "warm_up"], ["batch", "schedule", "warm_up"]),
        (["warm_up", "beta1", "eps"], ["warm_up"], ["warm_up", "beta1", "eps"]),
    ],
)
def test_search_gives_each_arm_what_it_has(search: list[str], sgd: list[str] | None, adamw: list[str]) -> None:
    arms = as_arms(["sgd", "adamw", "momentum"], search, PROBLEM)
    assert list(arms[0].space) == ["lr", *(sgd or [])]
    assert list(arms[1].space) == ["lr", *adamw]
    for arm in arms:
        configuration = {name: dimension.at(0.5) for name, dimension in arm.space.items()}
        arm.optimizer(PROBLEM.build(0).parameters(), configuration, PROBLEM)
        assert arm.recipe(configuration, PROBLEM).lane.rule == arm.method


@pytest.mark.parametrize(
    ("batch", "examples", "options"),
    [
        (64, 1000, (8, 16, 32, 64, 128, 256, 512)),
        (64, 200, (8, 16, 32, 64, 128)),
        (50, 1000, (8, 16, 32, 64, 128, 256)),
        (1024, 2048, (128, 256, 512, 1024, 2048)),
        (5, 5, (5,)),
    ],
)
def test_batch_sizes_are_powers_of_two_around_the_problems(batch: int, examples: int, options: tuple[int, ...]) -> None:
    inputs = torch.zeros(examples, 3)
    split = (inputs, inputs)
    problem = Problem(model=lambda: nn.Linear(3, 3), loss=nn.functional.mse_loss, train=split, valid=split, batch=batch)
    (arm,) = as_arms(["sgd"], ["batch"], problem)
    assert arm.space["batch"] == Choice(options)


@pytest.mark.parametrize(
    ("rule", "composed"),
    [
        (rules.momentum, rules.decoupled_decay(rules.momentum)),
        (rules.lamb, rules.lamb),
        (rules.schedule_free_sgd, rules.schedule_free(rules.decoupled_decay(rules.gradient_descent))),
        (rules.clip_norm(rules.averaged(rules.adam)), rules.clip_norm(rules.averaged(rules.adamw))),
    ],
)
def test_weight_decay_is_the_rules_own_or_decoupled(rule: fl.symbolic.Rule, composed: fl.symbolic.Rule) -> None:
    assert Arm("a", rule, fixed={"weight_decay": 0.1}).method is composed


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Arm("a", rules.adam).recipe({"lr": 0.1, "batch": 128}, PROBLEM), "the problem has 80 examples"),
        (lambda: Arm.phases("a", ["adam"]), "phases must be two, such as"),
        (lambda: Arm.phases("a", "adam"), "phases must be two, such as"),
        (lambda: Arm.phases("", ["adam", "sgd"]), "an arm needs a name"),
        (lambda: Arm.phases("a", ["adam", "sgdd"]), "no arm 'sgdd'; did you mean 'sgd'"),
        (lambda: Arm.phases("a", ["adam", "sgd"], {"momentum_2": (0.1, 0.9)}), "arm 'sgd' has no hyperparameter"),
        (lambda: Arm.phases("a", ["adam", "sgd"], {"switch": (0.1, 1.0)}), "'switch' must be a share of the steps, ab"),
        (lambda: Arm.phases("a", ["adam", "sgd"], fixed={"switch": 0}), "'switch' must be a share of the steps, above"),
        (lambda: Arm.phases("a", ["adam", Arm.phases("b", ["adam", "sgd"])]), "the phase 'b' has phases of its own"),
        (
            lambda: Arm.phases("a", ["sgd", Arm("b", rules.adam, fixed={"schedule": "cosine"})]),
            "the phase 'b' has a 'schedule' of its own",
        ),
    ],
)
def test_what_can_not_be_run(make: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()


def test_arms_go_to_other_processes() -> None:
    for arm in as_arms([*as_arms("all"), Arm.phases("both", ["adam", "sgd"])], ["schedule", "weight_decay"]):
        assert pickle.loads(pickle.dumps(arm)) == arm == copy.deepcopy(arm)
