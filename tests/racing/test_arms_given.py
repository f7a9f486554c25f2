"""Arms in every form that a person gives them: raced, or refused in a sentence that says how to give them."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch

import fallline as fl
from fallline import rules
from fallline.racing.arms import Arm
from fallline.racing.arms.dimensions import Range
from fallline.racing.arms.entrants import as_arms
from fallline.racing.effort import as_effort
from tests.racing.test_endings import problem, run


def plain(params: Any, lr: float = 0.1) -> torch.optim.Optimizer:
    return torch.optim.SGD(params, lr=lr, momentum=0.5)


def decayed(params: Any, lr: float, weight_decay: float = 0.0) -> torch.optim.Optimizer:
    return torch.optim.AdamW(params, lr=lr, weight_decay=weight_decay)


of_lambda = lambda params, lr: fl.optim.Adam(params, lr=lr)  # noqa: E731

PLAIN, ADAPTIVE = Range(1e-5, 100.0, open=True), Range(1e-7, 1.0, open=True)
#: What is given, and the names and spaces of the learning rates that come of it.
GIVEN: dict[str, tuple[Any, list[tuple[str, Range]]]] = {
    "a name in an arm": ([Arm("x", "adam")], [("x", ADAPTIVE)]),
    "a name as a person types it": ([Arm("x", "Lion")], [("x", Range(1e-8, 0.1, open=True))]),
    "a class by its name": ([Arm("x", "soap")], [("x", ADAPTIVE)]),
    "an arm of a rule alone": ([Arm(rules.gradient_descent)], [("sgd", PLAIN)]),
    "an arm of a name alone": ([Arm("adam")], [("adam", ADAPTIVE)]),
    "an arm of a class alone": ([Arm(torch.optim.Adam)], [("Adam", ADAPTIVE)]),
    "a function": ([plain], [("plain", PLAIN)]),
    "a function without a default": ([decayed], [("decayed", ADAPTIVE)]),
    "a lambda": ([of_lambda], [("Adam", ADAPTIVE)]),
    "a function in an arm": ([Arm("x", plain, {"lr": (0.1, 1.0)})], [("x", Range(0.1, 1.0))]),
    "a partial class": ([functools.partial(torch.optim.SGD, momentum=0.5)], [("SGD", PLAIN)]),
    "a dictionary": ({"a": "adam", "b": rules.adam, "c": Arm("d", plain)},
                     [("a", ADAPTIVE), ("b", ADAPTIVE), ("c", PLAIN)]),
    "a tuple": (("sgd", rules.adam), [("sgd", PLAIN), ("adam", ADAPTIVE)]),
    "a generator": ((name for name in ("sgd", "adam")), [("sgd", PLAIN), ("adam", ADAPTIVE)]),
}  # fmt: skip


@pytest.mark.parametrize("name", GIVEN)
def test_what_is_taken(name: str) -> None:
    given, wanted = GIVEN[name]
    found = [(arm.name, arm.space["lr"]) for arm in as_arms(given)]
    assert found == wanted


SENTENCES: dict[str, tuple[Any, str]] = {
    "a string": ("adam", r"arms must be a list, such as arms=\['sgd', 'adam'\]"),
    "a rule": (rules.adam, "arms must be a list"),
    "a number": (16, "arms must be a list"),
    "a function alone": (plain, "arms must be a list"),
    "an instance": ([torch.optim.Adam([torch.nn.Parameter(torch.ones(1))])], "give the class Adam, not one instance"),
    "an unknown name in a dictionary": ({"a": "adamm"}, "there is no arm 'adamm'; did you mean 'adam'"),
    "a function without a rate": (
        [lambda params: torch.optim.Adam(params)],
        "nothing that a race could search; give it",
    ),
    "a function that makes nothing": ([lambda params, lr: None], "the function returned NoneType; it must return a"),
    "a function that needs a closure": ([lambda params, lr: torch.optim.LBFGS(params, lr=lr)], "needs a closure"),
    "a setting that is none": (["adam,beta1"], "there is no arm 'adam,beta1'"),
    "a setting of nothing": (["mine=adamm,lr=0.1"], "arm 'mine': there is no rule 'adamm'; did you mean 'adam'"),
    "a number in the list": (["adam", 3], "an arm is a name, a rule, .*; got 3 of type int"),
}


@pytest.mark.parametrize("name", SENTENCES)
def test_what_is_refused(name: str) -> None:
    given, sentence = SENTENCES[name]
    with pytest.raises((ValueError, TypeError), match=sentence):
        as_arms(given)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Arm("adam", lr=0.1), r"no argument 'lr'; fix it by fixed=\{'lr': value\}, or search it by space="),
        (lambda: Arm("x", "adamm"), "arm 'x': there is no rule 'adamm'; did you mean 'adam'"),
        (lambda: Arm("x", 3), "is 3 of type int; it must be a rule or its name"),  # type: ignore[arg-type]
        (lambda: Arm(3), "an arm needs a name"),  # type: ignore[arg-type]
        (lambda: as_effort(16), r"such as fallline.Effort\(trials=16\); got 16"),  # type: ignore[arg-type]
        (lambda: as_effort(fl.Effort("quick")), "trials of an effort must be a whole number"),  # type: ignore[arg-type]
        (lambda: fl.race(problem(), seeds=3), "no argument 'seeds'; it belongs to the effort: effort=fallline.Effort"),
        (lambda: fl.race(problem(), epochs=3), r"it belongs to the problem: fallline.Problem\(..., epochs=...\)"),
        (lambda: fl.race(problem(), lr=3), "a race searches it"),
        (lambda: fl.race(problem(), optimizers=[]), r"give the optimizers as arms=\[...\]"),
        (lambda: fl.race(problem(), bananas=3), r"no argument 'bananas'; help\(fallline.race\) lists"),
    ],
)  # fmt: skip
def test_what_belongs_elsewhere(make: Any, sentence: str) -> None:
    with pytest.raises((ValueError, TypeError), match=sentence):
        make()


@pytest.mark.parametrize(("given", "finalists"), [({"trials": 4}, 4), ({"trials": 20}, 5), ({}, 5), ({"seeds": 3}, 5)])
def test_an_effort_by_what_matters(given: dict[str, Any], finalists: int) -> None:
    effort = as_effort(fl.Effort(**given))
    assert (effort.finalists, effort.trials) == (finalists, given.get("trials", 16))
    assert effort.seeds == given.get("seeds", 10)


def test_functions_race_as_the_classes_they_make(capsys: pytest.CaptureFixture[str]) -> None:
    fixed = {"momentum": 0.5}
    arms = [plain, Arm("two", decayed), of_lambda]
    result = run(arms=arms, search=["lr", "schedule"])
    direct = run(arms=[Arm("plain", torch.optim.SGD, fixed=fixed)], search=["lr", "schedule"])
    for one, other in zip(result["plain"].trials, direct["plain"].trials, strict=True):
        assert one.valid_loss.tolist() == pytest.approx(other.valid_loss.tolist(), nan_ok=True)
    assert "optimizer = plain(model.parameters(), lr=" in result["plain"].code()
    assert "weight_decay" in result["two"].arm.searchable
    rates = {name: dimension.at(0.3) for name, dimension in result["plain"].arm.space.items()}
    made = result["plain"].arm.make(problem().build(0).parameters(), rates)
    assert made.param_groups[0]["lr"] == rates["lr"]
