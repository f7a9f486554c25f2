"""A run that is kept is not trained again: a race that was stopped goes on, one that asks for more trains the rest."""

from __future__ import annotations

import json
import multiprocessing
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import fallline as fl
from fallline.racing import Effort, RaceResult, Run
from fallline.racing.engines import LocalEngine
from fallline.racing.output.data import lasting_part
from fallline.racing.runs import Work
from fallline.racing.storage.kept import forget_runs, kept_runs
from fallline.racing.storage.races import kept_result, past_races
from fallline.racing.storage.store import Store

EFFORT = Effort(trials=3, finalists=2, seeds=2)
ARMS = ["sgd", "adam"]
X = torch.linspace(-1, 1, 240).reshape(60, 4)
Y = X.square().sum(1, keepdim=True)
#: Trials of two arms, then their finals, three runs to a population at most.
JOBS = 2 + 3


def problem(name: str = "squares", width: int = 1) -> fl.Problem:
    return fl.Problem(
        model=lambda: nn.Sequential(nn.Linear(4, width), nn.Linear(width, 1)), loss=nn.functional.mse_loss,
        train=(X[:40], Y[:40]), valid=(X[40:50], Y[40:50]), test=(X[50:], Y[50:]), batch=8, epochs=2, name=name,
    )  # fmt: skip


def run(storage: Path | None, raced: fl.Problem | None = None, **changes: Any) -> RaceResult:
    given = {"arms": ARMS, "effort": EFFORT, "training": "batched", "workers": 1, "storage": storage, **changes}
    return fl.race(raced or problem(), **given)


def text(result: RaceResult | dict[str, Any]) -> str:
    """All that no clock or place had a say in."""
    plain = result.to_json() if isinstance(result, RaceResult) else result
    return json.dumps(lasting_part(plain))


def runs_of(result: RaceResult) -> str:
    """What was run, of the arms in the order of their names: what is concluded hangs on how often one has looked."""
    plain = json.loads(text(result))
    arms = sorted(plain["arms"], key=lambda arm: arm["name"])
    return json.dumps([plain["protocol"], arms])


@pytest.fixture(autouse=True)
def small_populations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fallline.racing.stages.lanes_that_fit", lambda problem, steps: 3)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """The runs that are trained."""
    found: list[Run] = []
    train = LocalEngine.train

    def training(self: LocalEngine, problem: fl.Problem, work: Work, tell: Any) -> Iterator[Any]:
        for numbers, outcomes in train(self, problem, work, tell):
            found.extend(work.runs[number] for number in numbers if not work.models)
            yield numbers, outcomes

    monkeypatch.setattr(LocalEngine, "train", training)
    return found


@pytest.fixture(scope="module")
def undisturbed() -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fallline.racing.stages.lanes_that_fit", lambda problem, steps: 3)
        return text(run(None))


def stop_after(adds: int, patch: pytest.MonkeyPatch) -> list[int]:
    """Let the race be interrupted as it keeps one job more than so many; returns what counts the jobs."""
    kept: list[int] = []
    add = Store.add

    def adding(self: Store, stage: str, keys: Any, runs: Any, outcomes: Any) -> None:
        if len(kept) == adds:
            raise KeyboardInterrupt
        add(self, stage, keys, runs, outcomes)
        kept.append(len(outcomes))

    patch.setattr(Store, "add", adding)
    return kept


@pytest.mark.parametrize("adds", range(JOBS))
def test_a_race_goes_on_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: str, adds: int
) -> None:
    path = tmp_path / "runs.db"
    with monkeypatch.context() as patch:
        stop_after(adds, patch)
        with pytest.raises(KeyboardInterrupt):
            run(path)
    (stopped,) = past_races(path)
    assert not stopped.finished
    with monkeypatch.context() as patch:
        trained = stop_after(10**6, patch)  # counted only: how large a job is hangs on how fast the machine is
        assert text(run(path)) == undisturbed
    assert sum(trained) == stopped.planned - stopped.kept
    assert text(kept_result(path)) == undisturbed
    (finished,) = past_races(path)
    assert (finished.finished, finished.kept, finished.name) == (True, finished.planned, stopped.name)
    assert finished.lines


#: What is asked after the race of above, and how many runs of each arm that takes.
MORE: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    "the same": ({}, {}),
    "more seeds": ({"effort": replace(EFFORT, seeds=5)}, {"sgd": 2 * 3, "adam": 2 * 3}),
    "fewer seeds": ({"effort": replace(EFFORT, seeds=1)}, {}),
    "one more arm": ({"arms": [*ARMS, "momentum"]}, {"momentum": 3 + 2 * 2}),
    "another order": ({"arms": ["adam", "sgd"]}, {}),
    "one arm of two": ({"arms": ["adam"]}, {}),
    "another name for an arm's own choice": ({"arms": [fl.Arm("adam", "adam"), "sgd"]}, {}),
    "slices": ({"slices": True}, {}),
    "fresh ones": ({"fresh": True}, {"sgd": 3 + 2 * 2, "adam": 3 + 2 * 2}),
    "another seed": ({"seed": 1}, {"sgd": 3 + 2 * 2, "adam": 3 + 2 * 2}),
    "another problem": ({"raced": problem("wider", 2)}, {"sgd": 3 + 2 * 2, "adam": 3 + 2 * 2}),
    "the problem under another name": ({"raced": problem("other")}, {}),
}


@pytest.mark.parametrize(("asked", "missing"), MORE.values(), ids=MORE)
def test_what_is_missing_is_trained_and_no_more(
    tmp_path: Path, trained: list[Run], asked: dict[str, Any], missing: dict[str, int]
) -> None:
    path = tmp_path / "runs.db"
    run(path)
    trained.clear()
    result = run(path, **asked)
    assert Counter(run.arm for run in trained) == missing
    assert runs_of(result) == runs_of(run(None, **{name: one for name, one in asked.items() if name != "fresh"}))


def test_more_trials_take_the_new_ones_and_finals_of_those_that_are_better(tmp_path: Path, trained: list[Run]) -> None:
    path = tmp_path / "runs.db"
    run(path)
    trained.clear()
    result = run(path, effort=replace(EFFORT, trials=4))
    finals = [final for arm in result.arms for final in arm.entry.finals]
    tuned = [one for one in trained if one.seed not in result.best.final_seeds]
    assert Counter(one.arm for one in tuned) == {"sgd": 1, "adam": 1}
    assert len(trained) - len(tuned) == 2 * sum(final.trial == 3 for final in finals)
    assert runs_of(result) == runs_of(run(None, effort=replace(EFFORT, trials=4)))


def test_runs_that_were_forgotten_are_trained_again(tmp_path: Path, trained: list[Run], undisturbed: str) -> None:
    path = tmp_path / "runs.db"
    run(path)
    trained.clear()
    assert forget_runs(path, "squares", "adam") == 7
    assert text(run(path)) == undisturbed
    assert Counter(run.arm for run in trained) == {"adam": 7}


def test_what_was_measured_is_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "runs.db"
    first = run(path)
    for measuring in ("make_plan", "solo_seconds"):
        monkeypatch.setattr(f"fallline.racing.protocol.{measuring}", lambda *_: pytest.fail("measured again"))
    again = run(path)
    assert text(again) == text(first)
    seconds = [result.to_json()["occasion"]["step_seconds"] for result in (first, again)]
    assert seconds[0] == seconds[1]


def test_runs_that_another_race_kept_meanwhile_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: list[Run], undisturbed: str
) -> None:
    """The other one runs as a whole just before this one's first job begins."""
    path, there = tmp_path / "runs.db", Store.there
    others: list[int] = []

    def asked(self: Store, keys: Any) -> set[str]:
        if not others:
            others.append(0)
            run(path)
            others[0] = len(trained)
        return there(self, keys)

    monkeypatch.setattr(Store, "there", asked)
    assert text(run(path)) == undisturbed
    assert len(trained) == others[0] == 14


def race_apart(path: Path, arms: list[str], written: Path) -> None:
    written.write_text(runs_of(run(path, arms=arms)))


def test_two_races_at_once_lose_no_run(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    context = multiprocessing.get_context("spawn")
    asked = [["sgd", "adam"], ["adam", "sgd", "momentum"]]
    files = [tmp_path / f"{number}.json" for number in range(2)]
    both = [
        context.Process(target=race_apart, args=(path, arms, file)) for arms, file in zip(asked, files, strict=True)
    ]
    for process in both:
        process.start()
    for process in both:
        process.join(300)
        assert process.exitcode == 0
    assert [file.read_text() for file in files] == [runs_of(run(None, arms=arms)) for arms in asked]
    assert len(kept_runs(path)) == 3 * 7
    assert all(race.finished and race.kept == race.planned for race in past_races(path))


KILLED = """
import os, signal, sys
import fallline.racing.storage.store as storing
sys.path.insert(0, {folder!r})
import test_resume
from pathlib import Path

ask, jobs = storing.Store._ask, []

def killed_between_the_rows_and_their_commit(self, connection, stage, keys):
    ask(self, connection, stage, keys)
    jobs.append(keys)
    if len(jobs) == 3:
        print(sum(map(len, jobs[:2])), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

storing.Store._ask = killed_between_the_rows_and_their_commit
import fallline.racing.stages
fallline.racing.stages.lanes_that_fit = lambda problem, steps: 3
test_resume.run(Path({path!r}))
"""


def test_a_process_that_is_killed_as_it_writes_leaves_no_half_job(tmp_path: Path, undisturbed: str) -> None:
    path = tmp_path / "runs.db"
    code = KILLED.format(folder=str(Path(__file__).parent), path=str(path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr
    (stopped,) = past_races(path)
    # Those of two jobs; the third was written and not committed.
    assert 0 < stopped.kept == len(kept_runs(path)) == int(done.stdout) < stopped.planned
    assert text(run(path)) == undisturbed
