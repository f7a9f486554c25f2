"""Arms that are one optimizer under two names: which are found, and that they are raced once."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fallline import rules
from fallline.racing import Watcher
from fallline.racing.arms import Arm, by_family
from fallline.racing.arms.dimensions import Choice
from fallline.racing.arms.entrants import as_arms
from fallline.racing.arms.twins import twins
from fallline.rules import DEFAULT_ARMS
from tests.racing.test_arms_given import plain
from tests.racing.test_endings import run


def fixed(name: str, method: Any, lr: float = 3e-4, **settings: float) -> Arm:
    return Arm(name, method, fixed={"lr": lr, **settings})


def told(name: str, method: Any, **settings: float) -> Arm:
    return Arm(name, method, {"lr": (1e-4, 0.1)}, settings)


#: Arms, and which of them repeat which.
TWINS: dict[str, tuple[list[Any], tuple[tuple[str, str], ...]]] = {
    "the default arms": (list(DEFAULT_ARMS), ()),
    "decay of 0": ([Arm("a", rules.adam, fixed={"weight_decay": 0.0}), Arm("c", torch.optim.Adam),
                    Arm("b", rules.adamw, fixed={"weight_decay": 0.0})], (("a", "c"), ("a", "b"))),
    "hardly any decay": ([told("a", rules.adam), told("b", rules.adamw, weight_decay=1e-5)], ()),
    "momentum of 0": ([Arm("a", rules.momentum, fixed={"momentum": 0.0}), "sgd", "momentum"], (("a", "sgd"),)),
    "a rule, a class and a function": (
        [Arm("a", rules.momentum, fixed={"momentum": 0.5}), Arm("b", torch.optim.SGD, fixed={"momentum": 0.5}), plain],
        (("a", "b"), ("a", "plain"))),
    "another space": ([Arm("a", rules.adam), Arm("b", rules.adam, {"lr": (1e-5, 0.1)})], ()),
    "another schedule": ([Arm("a", rules.adam), Arm("b", rules.adam, fixed={"schedule": "cosine"})], ()),
    "another batch": ([Arm("a", rules.adam), Arm("b", rules.adam, {"batch": Choice((8, 16))})], ()),
    "nearly the same setting": ([told("a", rules.adam, beta2=0.999), told("b", rules.adam, beta2=0.99901)], ()),
    "conventions": (["adam", "adam_eps_hat", "adam_uncorrected", "amsgrad", "amsgrad_corrected"], ()),
    "sums of gradients and of steps": (["momentum", "velocity_momentum", "dampened_momentum"],
                                       (("momentum", "dampened_momentum"),)),
    "forms of RAdam": (["radam", "radam_authors", "radam_paper"], ()),
    "fixed alike": ([fixed("a", rules.adam), fixed("b", torch.optim.Adam), fixed("c", plain, 0.1),
                     "d=SGD,lr=0.1,momentum=0.5"], (("a", "b"), ("c", "d"))),
    "fixed alike, at a tiny rate": ([fixed("a", rules.adam, 1e-9), fixed("b", torch.optim.Adam, 1e-9)], (("a", "b"),)),
    "fixed at other rates": ([fixed("a", rules.adam, 1e-8), fixed("b", rules.adam, 1.0001e-8)], ()),
    "other rules at a tiny rate": ([fixed(name, name, 1e-9) for name in DEFAULT_ARMS if name != "adadelta"], ()),
    "fixed and searched": ([Arm("a", rules.adam), fixed("b", rules.adam, 1e-3)], ()),
    "a fixed rate, and something searched": (
        [Arm("a", rules.adam, {"beta1": (0.5, 0.9)}, {"lr": 1e-8}),
         Arm("b", torch.optim.Adam, {"beta1": (0.5, 0.9)}, {"lr": 1e-8}),
         Arm("c", rules.adam, {"beta1": (0.5, 0.9)}, {"lr": 2e-8})], (("a", "b"),)),
}  # fmt: skip


@pytest.mark.parametrize("name", TWINS)
def test_one_optimizer_under_two_names(name: str) -> None:
    given, wanted = TWINS[name]
    assert twins(as_arms(given)) == wanted


class Notes(Watcher):
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.runs: set[str] = set()

    def note(self, line: str) -> None:
        self.lines.append(line)

    def ran(self, run: Any, outcome: Any) -> None:
        self.runs.add(run.arm)


@pytest.mark.parametrize(
    ("arms", "search", "left", "twin"),
    [
        (["adam", "adamw", "sgd"], ["weight_decay"], {"adam", "sgd"}, "adamw is adam"),
        (["adamw", "adam"], ["weight_decay"], {"adamw"}, "adam is adamw"),
        ([fixed("mine", "adam"), "sgd", fixed("old", torch.optim.Adam)], ["lr"], {"mine", "sgd"}, "old is mine"),
        (["adam", "adamw"], ["lr"], {"adam", "adamw"}, None),
    ],
)
def test_twins_are_raced_once(arms: list[Any], search: list[str], left: set[str], twin: str | None) -> None:
    notes = Notes()
    result = run(arms=arms, search=search, watcher=notes)
    assert {arm.name for arm in result.arms} == notes.runs == left
    first = (twin or "").split(" ")[-1]
    sentences = [] if twin is None else [f"{twin} under another name: raced once, as {first}."]
    for lines in (notes.lines, result.warnings, result.to_json()["warnings"]):
        assert [line for line in lines if "another name" in line] == sentences


#: Arms, and the families that they are of.
FAMILIES: dict[str, tuple[list[Any], dict[str, list[str]]]] = {
    "the default arms": (list(DEFAULT_ARMS), {
        "momentum": ["momentum", "nesterov"], "AdaGrad": ["adagrad", "adadelta", "rmsprop"],
        "Adam": ["adam", "adamw", "adamax", "nadam", "radam", "adamp"]}),
    "names of one's own": ([Arm("a", "adam"), fixed("b", "lamb"), "c=nadam,lr=1"], {"Adam": ["a", "b", "c"]}),
    "classes": ([torch.optim.NAdam, torch.optim.Rprop, torch.optim.RMSprop, torch.optim.SGD],
                {"Adam": ["NAdam"], "AdaGrad": ["RMSprop"]}),
    "SGD with momentum": ([Arm("a", torch.optim.SGD, fixed={"momentum": 0.9}), Arm("b", torch.optim.SGD),
                           Arm("c", torch.optim.SGD, {"momentum": (0.5, 0.9)}),
                           Arm("d", torch.optim.SGD, fixed={"momentum": 0})], {"momentum": ["a", "c"]}),
    "combinators": ([rules.l2(rules.adam), rules.clip_norm(rules.decoupled_decay(rules.momentum)),
                     rules.schedule_free_adam],
                    {"Adam": ["l2(adam)", "schedule_free_adam"],
                     "momentum": ["clip_norm(decoupled_decay(momentum))"]}),
    "functions": ([plain, Arm("x", lambda params, lr: torch.optim.Adam(params, lr=lr))], {}),
    "a class that is called like one": ([type("Adam", (torch.optim.SGD,), {})], {}),
    "phases": ([Arm.phases("a", ["adam", "nadam"]), Arm.phases("b", ["adam", "sgd"]), "sgd", "lion"], {"Adam": ["a"]}),
}  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_families(name: str) -> None:
    given, wanted = FAMILIES[name]
    assert by_family(as_arms(given)) == wanted
