"""Arms of which nothing is searched: no trials, finals on the others' seeds, and as little cost."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fallline as fl
from fallline import rules
from fallline.lab.races import LiveRace
from fallline.pages.report import report_page
from fallline.racing import Arm, Effort, RaceResult, Watcher
from fallline.racing.arms.entrants import as_arms
from fallline.racing.decision.resolution import Settling
from fallline.racing.going_on import going_on
from fallline.racing.runs import run_of
from fallline.racing.storage.kept import export_to_optuna
from fallline.racing.storage.races import past_races
from tests.racing.test_endings import problem, run

SMALL = Effort(trials=4, finalists=2, seeds=6)


class Fragile(torch.optim.SGD):
    """Diverges from every start whose first weight is above zero."""

    def __init__(self, params: Any, lr: float = 1e-3) -> None:
        super().__init__(params, lr=lr)

    def step(self, closure: Any = None) -> Any:
        first = self.param_groups[0]["params"][0]
        if not self.state:
            self.state[first]["sound"] = bool(first.flatten()[0] <= 0)
        if not self.state[first]["sound"]:
            first.data.mul_(torch.inf)
        return super().step(closure)


def own(params: Any, lr: float, momentum: float = 0.5) -> torch.optim.Optimizer:
    return torch.optim.SGD(params, lr=lr, momentum=momentum)


def mine(optimizer: Any = torch.optim.Adam, name: str = "mine", **fixed: Any) -> Arm:
    return Arm(name, optimizer, fixed={"lr": 3e-4, **fixed})


#: What is given for an arm, and the line of its program that makes the optimizer; None where it is searched after all.
GIVEN: dict[str, tuple[Any, str | None]] = {
    "a class": (mine(), "torch.optim.Adam(model.parameters(), lr=0.0003)"),
    "a class with more": (mine(beta2=0.9), "torch.optim.Adam(model.parameters(), lr=0.0003, betas=(0.9, 0.9))"),
    "a rule": (mine(rules.momentum, momentum=0.5), "torch.optim.SGD(model.parameters(), lr=0.0003, momentum=0.5)"),
    "a rule by its name, with decay": (
        mine("adam", weight_decay=0.1), "torch.optim.AdamW(model.parameters(), lr=0.0003, weight_decay=0.1)"),
    "a function": (mine(own), "own(model.parameters(), lr=0.0003)"),
    "a partial class": (functools.partial(torch.optim.SGD, lr=0.5), "torch.optim.SGD(model.parameters(), lr=0.5)"),
    "a text": ("mine=adam,lr=3e-4,weight_decay=0.1",
               "torch.optim.AdamW(model.parameters(), lr=0.0003, weight_decay=0.1)"),
    "a text without a name": ("adam,lr=0.01", "torch.optim.Adam(model.parameters(), lr=0.01)"),
    "a text of a name alone": ("mine=adam", "torch.optim.Adam(model.parameters(), lr=0.001)"),
    "a text of a class of torch's": (
        "mine=Adam,lr=1,weight_decay=0.1", "torch.optim.Adam(model.parameters(), lr=1.0, weight_decay=0.1)"),
    "a text with a flag": ("mine=SGD,momentum=0.9,nesterov=true",
                           "torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9, nesterov=True)"),
    "a rate fixed, and something searched": (Arm("x", "adam", {"beta1": (0.5, 0.9)}, {"lr": 3e-4}), None),
    "all but the rate": (Arm("x", "adam", fixed={"beta1": 0.5}), None),
}  # fmt: skip


@pytest.mark.parametrize("name", GIVEN)
def test_what_is_fixed(name: str) -> None:
    given, line = GIVEN[name]
    (arm,) = as_arms([given], search=["lr", "schedule", "beta1"] if line is None else ["lr"])
    assert arm.searched == (line is None)
    if line is None:
        assert "schedule" in arm.space  # `search` is for what is searched
    else:
        assert arm.space == {}
        assert as_arms([given, "sgd"], search=["schedule"], problem=problem())[0].space == {}
        assert f"optimizer = {line}" in fl.racing.arms.torch_code(arm, {}, problem()).splitlines()


class Seen(Watcher):
    def __init__(self) -> None:
        self.stages: list[str] = []
        self.notes: list[str] = []
        self.runs: list[tuple[str, int]] = []
        self.whole = 0

    def planned(self, runs: int) -> None:
        self.whole = runs

    def stage(self, title: str, total: int) -> None:
        self.stages.append(title)

    def note(self, line: str) -> None:
        self.notes.append(line)

    def ran(self, run: Any, outcome: Any) -> None:
        self.runs.append((run.arm, run.seed))


#: Arms, of which those named with a small letter are fixed; the counts of trials and of finals; the announcement.
RACES: dict[str, tuple[list[Any], int, int, str]] = {
    "alone": ([mine()], 0, 6, "1 arm: 6 finals, 30 steps"),
    "two, nothing else": ([mine(), mine("sgd", "old")], 0, 12, "2 arms: 12 finals, 60 steps"),
    "with others": (
        [mine(), Arm("S", "sgd"), mine("sgd", "old"), Arm("A", "adam")], 8, 36,
        "4 arms: 44 runs (8 to tune, 36 finals), 220 steps"),
    "of other batches": ([mine(batch=20), Arm("S", "sgd")], 4, 18, "2 arms: 22 runs (4 to tune, 18 finals), 92 steps"),
    "diverging for some of its seeds": ([mine(Fragile), Arm("A", "adam")], 4, 18, "2 arms: 22 runs"),
    "diverging wholly": ([mine("sgd", lr=1e20), Arm("A", "adam")], 4, 18, "2 arms: 22 runs"),
    "all diverging wholly": ([mine("sgd", lr=1e20), mine("momentum", "old", lr=1e20)], 0, 12, "2 arms: 12 finals"),
    "phases": ([Arm.phases("mine", ["adam", "sgd"], fixed={"lr": 0.1, "lr_2": 0.1, "switch": 0.5}), Arm("A", "adam")],
               4, 18, "2 arms: 22 runs"),
}  # fmt: skip


@pytest.mark.parametrize("name", RACES)
def test_no_trials_and_finals_on_every_seed(name: str, tmp_path: Path) -> None:
    arms, trials, finals, announced = RACES[name]
    seen = Seen()
    result = run(tmp_path / "runs.db", arms=arms, effort=SMALL, watcher=seen)
    assert any(line.startswith(announced) for line in seen.notes), seen.notes
    assert len(seen.runs) == seen.whole == trials + finals
    assert any(title.startswith("tuning") for title in seen.stages) == (trials > 0)
    for arm in result.arms:
        searched = arm.name[0].isupper()
        assert (arm.arm.searched, arm.entry.searched) == (searched, searched)
        assert (len(arm.trials), len(arm.finals)) == ((4, 2) if searched else (0, 1))
        assert all(len(outcomes) == SMALL.seeds for outcomes in arm.finals)
        assert searched or (arm.configuration, arm.diverged_trials) == ({}, 0)
        seeds = [seed for of, seed in seen.runs if of == arm.name]
        assert (result.protocol["tuning_seed"] in seeds) == searched
        assert set(arm.final_seeds) <= set(seeds)
    assert not any("not granted the same" in one for one in result.warnings)
    (kept,) = past_races(tmp_path / "runs.db")
    assert (kept.kept, kept.planned, kept.finished) == (trials + finals, trials + finals, True)
    assert kept.fixed == tuple(arm.name for arm in arms if arm.name[0].islower())
    check_outputs(result, trials, finals)

    again = Seen()
    assert run(tmp_path / "runs.db", arms=arms, effort=SMALL, watcher=again).occasion["runs"]["trained"] == 0
    fixed = SMALL.seeds * len(kept.fixed)
    there = f" {trials} of those to tune and {fixed}" if trials else f" {fixed}"
    assert any(line.endswith(f"{there} of the finals are kept already.") for line in again.notes), again.notes


def check_outputs(result: RaceResult, trials: int, finals: int) -> None:
    """All forms of the result are there, and none has a trial that was not run."""
    data = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert sum(len(arm["trials"]) for arm in data["arms"]) == trials
    frame = result.to_frame()
    assert (frame["stage"] == "trial").sum() == trials
    assert (frame["stage"] == "final").sum() == finals
    assert "Nothing was searched of" in " ".join(str(result).split())
    assert all(repr(arm) for arm in result.arms)
    assert "<html" in report_page(data)


def test_it_is_judged_as_any_other() -> None:
    result = run(arms=[mine(Fragile), Arm("A", "adam")], effort=SMALL)
    starts = [next(problem().build(seed).parameters()).flatten()[0].item() for seed in result["mine"].final_seeds]
    fallen = sum(start > 0 for start in starts)
    assert 0 < fallen < SMALL.seeds
    assert result.decision.diverged["mine"] == result["mine"].diverged_seeds == fallen
    assert result.decision.take is not None
    assert result.decision.take.arm == "A"


@pytest.mark.parametrize("lr", [1e20, 1e-2])
def test_a_decision_of_one_fixed_arm_says_what_can_be_said(lr: float) -> None:
    result = run(arms=[mine("sgd", lr=lr)], effort=SMALL)
    take = result.decision.take
    assert (take is None) == (lr > 1)
    assert take is None or take.configuration == {"lr": lr}
    assert result.decision.counts.trials == 0
    assert "trial" not in " ".join(result.decision.lines)


def test_it_runs_as_the_same_setting_would_if_it_was_searched() -> None:
    arm = mine("adam", lr=0.01)
    result = run(arms=[arm, Arm("other", "adam", {"lr": (0.01, 0.01 * (1 + 1e-12))})], effort=SMALL)
    scores = [[outcome.score for outcome in result[name].finals[0]] for name in ("mine", "other")]
    assert scores[0] == pytest.approx(scores[1], rel=1e-6)
    assert result["mine"].train().outcome.score == result["mine"].finals[0][0].score
    first = run_of(arm, {}, problem(), result["mine"].final_seeds[0])
    assert first.lane.values["lr"] == result["mine"].optimizer([torch.nn.Parameter(torch.ones(1))]).defaults["lr"]


@pytest.mark.parametrize("arm", [
    mine("sgd", batch=16, lr=0.1), "mine=sgd,batch=16,lr=0.1",
    Arm.phases("mine", ["sgd", "sgd"], fixed={"lr": 0.1, "lr_2": 0.1, "switch": 0.5, "batch": 16}),
])  # fmt: skip
def test_its_rate_is_that_of_its_own_batch(arm: Any) -> None:
    (found,) = as_arms([arm])
    lane = found.recipe({}, problem()).lane
    assert {one.values["lr"] for one in (lane, *(() if lane.then is None else lane.then[1:]))} == {0.1}
    assert {value for name, value in found.report({}, problem()).items() if name.startswith("run_lr")} == {0.1}
    assert found.optimizer([torch.nn.Parameter(torch.ones(1))], {}, problem()).defaults["lr"] == 0.1
    searched = Arm("other", "sgd", {"lr": (0.01, 1.0)}, {"batch": 16})
    assert searched.recipe({"lr": 0.1}, problem()).lane.values["lr"] == pytest.approx(0.2)


CHANGES: dict[str, Callable[[], list[Any]]] = {
    "another rate": lambda: [mine(lr=1e-3), "sgd"],
    "another decay": lambda: [mine(weight_decay=0.1), "sgd"],
    "another name": lambda: [mine(name="old"), "sgd"],
    "none": lambda: ["sgd"],
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_setting_is_another_race_and_trains_its_finals_alone(change: str, tmp_path: Path) -> None:
    storage = tmp_path / "runs.db"
    run(storage, arms=[mine(), "sgd"], effort=SMALL)
    result = run(storage, arms=CHANGES[change](), effort=SMALL)
    assert len(past_races(storage)) == 2
    assert result.occasion["runs"]["trained"] == (SMALL.seeds if change in ("another rate", "another decay") else 0)


#: The arms that are behind, what would settle the others, and the command with the runs that it adds.
FURTHER: dict[str, tuple[list[str], Settling, str, int]] = {
    "all": ([], Settling(("sgd", "mine"), 20, "seeds"),
            "--arms sgd,mine,lion,old --mine mine=adam,lr=0.01 --mine old=sgd --trials 4 --fin", 6 * 14),
    "some": (["old", "lion"], Settling(("sgd", "mine"), 20, "seeds"),
             "--arms sgd,mine --mine mine=adam,lr=0.01 --trials 4 --fin", 3 * 14),
    "more trials": (["mine"], Settling(("sgd", "old"), None, "trials"),
                    "--arms sgd,lion,old --mine old=sgd --trials 8 --fin", 2 * 20),
    "fixed ones alone": (["sgd", "lion"], Settling(("mine", "old"), 7, "seeds"),
                         "--arms mine,old --mine mine=adam,lr=0.01 --mine old=sgd --trials 4 --fin", 2),
}  # fmt: skip


@pytest.mark.parametrize(("behind", "settling", "words", "runs"), FURTHER.values(), ids=FURTHER)
def test_going_on_tells_the_command_line_of_them(behind: list[str], settling: Settling, words: str, runs: int) -> None:
    arms = ["sgd", "mine=adam,lr=0.01", "lion", "old=sgd"]
    names = ["sgd", "mine", "lion", "old"]
    decision = replace(
        run(arms=["sgd"], effort=Effort(1, 1, 1)).decision, distances=dict.fromkeys(names),
        behind=dict.fromkeys(behind, 0.1), apart=(), settling=settling,
    )  # fmt: skip
    asked = {"problem": "digits", "arms": arms}
    found = going_on(decision, asked, SMALL, {"mine", "old"}, seconds=1.0, slots=1)
    assert found is not None
    assert found.command.startswith(f"fallline race digits {words}")
    assert found.runs == runs


def test_a_live_race_counts_the_finals_of_each_arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fallline.lab.races.kept_answer", lambda *_: None)  # as before it has finished
    storage = str(tmp_path / "runs.db")
    arms = [mine(), "sgd", mine("sgd", "old", lr=0.01), "adam"]
    result = run(tmp_path / "runs.db", arms=arms, effort=SMALL)
    live = LiveRace(storage, past_races(storage)[0].name)
    standing = {arm["name"]: arm for arm in live.read()["arms"]}
    live.close()
    for arm in result.arms:
        means = [np.mean([outcome.score for outcome in outcomes]) for outcomes in arm.finals]
        assert any(standing[arm.name]["final"] == pytest.approx(mean) for mean in means)
    assert export_to_optuna(storage, tmp_path / "optuna.db") == (1, 44)
