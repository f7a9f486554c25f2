"""What may enter a race, and in which space it is searched."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch

import fallline as fl
from fallline import optim, rules
from fallline.problems import digits
from fallline.racing.arms import Arm
from fallline.racing.arms.dimensions import Choice, Range
from fallline.racing.arms.entrants import as_arms
from fallline.racing.arms.methods import all_names
from fallline.racing.effort import Effort, as_effort
from fallline.rules import DEFAULT_ARMS


class OwnOptimizer(torch.optim.SGD):
    def __init__(self, params: Any, lr: float = 0.3, weight_decay: float = 0.0) -> None:
        super().__init__(params, lr=lr, weight_decay=weight_decay)


@fl.rule
def nameless(p: Any, g: Any, *, rate: float = 0.1) -> Any:
    return rate * g


PLAIN: dict[str, Any] = {"model": lambda: torch.nn.Linear(1, 1), "loss": torch.nn.functional.mse_loss}
PLAIN |= dict.fromkeys(("train", "valid"), (torch.zeros(64, 1), torch.zeros(64, 1)))


def test_default_arms_are_the_courses_first_order_methods() -> None:
    assert [arm.name for arm in as_arms(None)] == list(DEFAULT_ARMS)
    assert len(DEFAULT_ARMS) == 12


@pytest.mark.parametrize(
    ("entrant", "name", "low", "high"),
    [
        ("sgd", "sgd", 1e-5, 100.0),
        ("adamw", "adamw", 1e-7, 1.0),
        ("AdamW", "adamw", 1e-7, 1.0),
        (" gd", "sgd", 1e-5, 100.0),
        ("gradient-descent", "sgd", 1e-5, 100.0),
        ("amsgrad", "amsgrad", 1e-7, 1.0),
        (rules.l2(rules.momentum), "l2(momentum)", 1e-5, 100.0),
        (rules.l2(rules.schedule_free_sgd), "l2(schedule_free(gradient_descent))", 1e-4, 1000.0),
        (rules.adam, "adam", 1e-7, 1.0),
        (rules.gradient_descent, "sgd", 1e-5, 100.0),
        (torch.optim.Adamax, "Adamax", 1e-7, 1.0),
        (torch.optim.Rprop, "Rprop", 1e-7, 1.0),
        (OwnOptimizer, "OwnOptimizer", 0.3 * 10**-3.5, 0.3 * 10**3.5),
        (optim.ScheduleFreeAdamW, "ScheduleFreeAdamW", 1e-6, 10.0),
        (Arm("mine", rules.adam, {"lr": (1e-3, 1e-2)}), "mine", 1e-3, 1e-2),
        (Arm("mine", rules.adam, {"beta1": (0.1, 0.9)}), "mine", 1e-7, 1.0),
        (optim.Lion, "Lion", 1e-8, 0.1),
        (optim.AdamP, "AdamP", 1e-7, 1.0),
        ("muon", "muon", 1e-6, 10.0),
        ("Adafactor", "adafactor", 1e-6, 10.0),
        ("schedule-free-sgd", "schedule_free_sgd", 1e-4, 1000.0),
        ("prodigy", "prodigy", 0.1, 10.0),
        (optim.SOAP, "SOAP", 1e-7, 1.0),
    ],
)
def test_space_of_an_entrant(entrant: Any, name: str, low: float, high: float) -> None:
    (arm,) = as_arms([entrant])
    assert arm.name == name
    rate = arm.space["lr"]
    assert isinstance(rate, Range)
    assert (rate.low, rate.high) == pytest.approx((low, high))
    assert (rate.scale, rate.open) == ("log", name != "mine" or low == 1e-7)


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
            "must be a rule or its name, a torch.optim.Optimizer class",
        ),
        (lambda: Arm("", rules.adam), "needs a name"),
        (lambda: as_arms(["sgd", "muonn"]), "no arm 'muonn'; did you mean 'muon'"),
        (lambda: Arm("x", rules.adam, {"lr": Choice(())}), "a choice has options"),
        (lambda: Arm("x", rules.adam, {"lr": (1e-3, 1.0)}, {"lr": 0.1}), "'lr' both in its space and in fixed"),
        (lambda: as_arms(["adam,lr=0.1"], search=["beta1"]), "nothing is searched of these arms"),
        (lambda: Arm("x", rules.adam, fixed={"schedule": "cosinus"}), "arm 'x': 'schedule' must be a Choice of const"),
        (lambda: Arm("x", rules.adam, {"batch": (8, 64)}), "'batch' must be a Choice of whole numbers from 1"),
        (lambda: Arm("x", rules.adam, {"batch": Choice((8, 2.5))}), "'batch' must be a Choice of whole numbers"),
        (lambda: Arm("x", rules.adam, {"warm_up": Range(0.1, 1.5, "linear")}), "'warm_up' must be a share"),
        (lambda: Arm("x", nameless, {"schedule": Choice(("cosine",))}), "no hyperparameter 'schedule'"),
        (lambda: Arm("x", nameless), "has no learning rate 'lr'"),
        (lambda: as_arms(["adam"], search="beta1"), "search must be a list of names, such as search=.'beta1'"),
        (lambda: as_arms(["adam", "sgd"], search=["momentun"]), "no arm has 'momentun'; there are lr, beta1"),
        (lambda: as_arms(["adam", "momentum"], search=["momentun"]), "no arm has 'momentun'; did you mean 'momentum'"),
        (lambda: as_arms(["adam"], search=["batch"]), "give the problem too"),
        (lambda: as_arms(["adagrad"], search=["lr_decay"]), "arm 'adagrad': no range is known for 'lr_decay'"),
        (lambda: as_arms([torch.optim.LBFGS]), "arm 'LBFGS': LBFGS needs a closure"),
        (lambda: as_arms([fl.Newton]), "arm 'Newton': Newton needs a closure"),
        (lambda: as_arms(["look-ahead-nesterov"]), "LookAheadNesterov needs a closure"),
        (lambda: Arm("a\ud800", rules.adam), r"a name that can be written down; 'a\\ud800' holds a lone surrogate"),
        (lambda: Arm.phases("\udcff", ["adam", "sgd"]), "a name that can be written down"),
        (lambda: fl.Metric("\ud800", lambda output, y: 0.0, True), "metric: its name must be a text without lone"),
        (lambda: fl.Problem(**PLAIN, name="\ud800"), "name: must be a text without lone surrogates"),
        (lambda: fl.Problem(**PLAIN, name=cast(Any, 3)), "name: must be a text"),
        (lambda: as_effort("hard"), "effort must be one of"),
        (lambda: as_effort(Effort(4, 8, 5)), "finalists must be at most the 4 trials"),
        (lambda: as_effort(Effort(0, 0, 5)), "whole number from 1"),
    ],
)
def test_bad_entrants_are_refused_in_a_sentence(make: Any, sentence: str) -> None:
    with pytest.raises((ValueError, TypeError), match=sentence):
        make()


def test_all_is_every_rule_and_the_classes_that_need_no_closure() -> None:
    names = [arm.name for arm in as_arms("all")]
    assert names == all_names() == [arm.name for arm in as_arms(["all"])]
    assert set(rules.ALL) - {"gradient_descent"} | {"sgd", "muon", "soap", "adafactor"} <= set(names)
    assert {"newton", "look_ahead_nesterov"}.isdisjoint(names)


def test_all_leaves_out_what_can_not_take_the_problems_parameters() -> None:
    left = set(all_names()) - {arm.name for arm in as_arms("all", problem=digits())}
    assert left == {"muon", "full_matrix_adagrad"}  # biases are no matrices; a matrix of 2048 elements squared


def test_a_class_that_is_one_rule_enters_as_that_rule() -> None:
    (arm,) = as_arms([optim.Lion])
    assert arm.method is rules.lion


def test_an_arm_makes_an_optimizer() -> None:
    p = torch.nn.Parameter(torch.ones(2))
    p.grad = torch.ones(2)
    for arm in (Arm("a", rules.gradient_descent), Arm("b", torch.optim.SGD)):
        arm.make([p], {"lr": 0.25}).step()
    assert p.tolist() == [0.5, 0.5]
