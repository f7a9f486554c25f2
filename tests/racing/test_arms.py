"""What may enter a race, and in which space it is searched."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

import fallline as fl
from fallline import optim, rules
from fallline.racing.arms.arm import Arm
from fallline.racing.arms.default_arms import DEFAULT_ARMS
from fallline.racing.arms.names import as_arms
from fallline.racing.effort import Effort, as_effort


def test_default_arms_are_the_courses_first_order_methods() -> None:
    assert [arm.name for arm in as_arms(None)] == list(DEFAULT_ARMS)
    assert len(DEFAULT_ARMS) == 12


@pytest.mark.parametrize(
    ("entrant", "name", "low", "high"),
    [
        ("sgd", "sgd", 1e-4, 10.0),
        ("adamw", "adamw", 1e-6, 0.1),
        ("AdamW", "adamw", 1e-6, 0.1),
        (" gd", "sgd", 1e-4, 10.0),
        ("gradient-descent", "sgd", 1e-4, 10.0),
        ("amsgrad", "amsgrad", 1e-3 * 10**-2.5, 1e-3 * 10**2.5),
        (rules.adam, "adam", 1e-6, 0.1),
        (rules.gradient_descent, "sgd", 1e-4, 10.0),
        (torch.optim.Adamax, "Adamax", 1e-6, 0.1),
        (torch.optim.Rprop, "Rprop", 1e-2 * 10**-2.5, 1e-2 * 10**2.5),
        (Arm("mine", rules.adam, {"lr": (1e-3, 1e-2)}), "mine", 1e-3, 1e-2),
        (optim.Lion, "Lion", 1e-4 * 10**-2.5, 1e-4 * 10**2.5),
        (optim.AdamP, "AdamP", 1e-6, 0.1),
        ("muon", "muon", 1e-5, 1.0),
        ("Adafactor", "adafactor", 1e-4, 1.0),
        (optim.SOAP, "SOAP", 1e-6, 0.1),
    ],
)
def test_space_of_an_entrant(entrant: Any, name: str, low: float, high: float) -> None:
    (arm,) = as_arms([entrant])
    assert arm.name == name
    assert arm.space["lr"] == pytest.approx((low, high))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: as_arms(["admm"]), "no arm 'admm'; did you mean 'adam'"),
        (lambda: as_arms([]), "arms is empty"),
        (lambda: as_arms("adam"), "arms must be a list"),
        (lambda: as_arms(["adam", "adam"]), "two arms are called 'adam'"),
        (lambda: as_arms(["sgd", "gradient_descent"]), "two arms are called 'sgd'"),
        (lambda: as_arms(["qqq"]), "no arm 'qqq'; there are sgd, momentum"),
        (lambda: as_arms([3]), "got 3 of type int"),
        (
            lambda: as_arms([torch.optim.SGD(torch.nn.Linear(1, 1).parameters())]),
            "give the class SGD, not one instance",
        ),
        (lambda: Arm("x", rules.adam, {"lr": (0.0, 1.0)}), "0 < low < high"),
        (lambda: Arm("x", rules.adam, {"lr": (1.0, 0.1)}), "0 < low < high"),
        (lambda: Arm("x", rules.adam, {"beta_1": (0.1, 0.9)}), "did you mean 'beta1'"),
        (lambda: Arm("x", rules.adam, fixed={"momentum": 0.9}), "no hyperparameter 'momentum'"),
        (
            lambda: Arm("x", torch.nn.Linear),  # type: ignore[arg-type]
            "must be a rule or a torch.optim.Optimizer class",
        ),
        (lambda: Arm("", rules.adam), "needs a name"),
        (lambda: as_arms(["sgd", "muonn"]), "no arm 'muonn'; did you mean 'muon'"),
        (lambda: as_arms(["schedule_free_sgd"]), "arm 'schedule_free_sgd' is Schedule-Free.*fallline.fit"),
        (lambda: Arm("x", rules.l2(rules.schedule_free_adam)), "arm 'x' is Schedule-Free"),
        (lambda: as_arms([optim.ScheduleFreeAdamW]), "arm 'ScheduleFreeAdamW' is Schedule-Free"),
        (lambda: as_arms([torch.optim.LBFGS]), "arm 'LBFGS': LBFGS needs a closure"),
        (lambda: as_arms([fl.Newton]), "arm 'Newton': Newton needs a closure"),
        (lambda: as_arms(["look-ahead-nesterov"]), "LookAheadNesterov needs a closure"),
        (lambda: as_effort("hard"), "effort must be one of"),
        (lambda: as_effort(Effort(4, 8, 5)), "can't have 8 finalists"),
        (lambda: as_effort(Effort(0, 0, 5)), "whole number from 1"),
    ],
)
def test_bad_entrants_are_refused_in_a_sentence(make: Any, sentence: str) -> None:
    with pytest.raises((ValueError, TypeError), match=sentence):
        make()


def test_points_are_log_uniform_and_an_arms_own() -> None:
    adam, twin = Arm("adam", rules.adam), Arm("twin", rules.adam)
    points = [point["lr"] for point in adam.points(16, seed=1)]
    low, high = adam.space["lr"]
    places = sorted((math.log(x) - math.log(low)) / (math.log(high) - math.log(low)) for x in points)
    assert all(i / 16 <= place <= (i + 1) / 16 for i, place in enumerate(places))  # Sobol: one point in each sixteenth
    assert points == [point["lr"] for point in adam.points(16, seed=1)]
    assert points != [point["lr"] for point in adam.points(16, seed=2)]
    assert points != [point["lr"] for point in twin.points(16, seed=1)]
    assert len(adam.points(12, seed=1)) == 12


def test_a_class_that_is_one_rule_enters_as_that_rule() -> None:
    (arm,) = as_arms([optim.Lion])
    assert arm.optimizer is rules.lion


def test_an_arm_makes_an_optimizer() -> None:
    p = torch.nn.Parameter(torch.ones(2))
    p.grad = torch.ones(2)
    for arm in (Arm("a", rules.gradient_descent), Arm("b", torch.optim.SGD)):
        arm.make([p], {"lr": 0.25}).step()
    assert p.tolist() == [0.5, 0.5]
