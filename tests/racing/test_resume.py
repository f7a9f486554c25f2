"""A race that was stopped at any moment ends, when it is taken up again, with what an uninterrupted one gives."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import fallline as fl
from fallline.racing import Effort, RaceResult
from fallline.racing.storage.races import kept_result, past_races
from fallline.racing.storage.store import StudyStore

EFFORT = Effort(trials=3, finalists=2, seeds=2)
ARMS = ["sgd", "adam"]
X = torch.linspace(-1, 1, 240).reshape(60, 4)
Y = X.square().sum(1, keepdim=True)
#: Trials of two arms, then their finals, three runs to a population.
JOBS = 2 + 3


def problem() -> fl.Problem:
    return fl.Problem(
        model=lambda: nn.Linear(4, 1), loss=nn.functional.mse_loss, train=(X[:40], Y[:40]), valid=(X[40:50], Y[40:50]),
        test=(X[50:], Y[50:]), batch=8, epochs=2, name="squares",
    )  # fmt: skip


def run(storage: Path | None, **changes: Any) -> RaceResult:
    return fl.race(problem(), **{"arms": ARMS, "effort": EFFORT, "training": "batched", "storage": storage, **changes})


def text(result: RaceResult | dict[str, Any]) -> str:
    """All that no clock or place had a say in."""
    plain = result.to_json() if isinstance(result, RaceResult) else result
    return json.dumps({name: part for name, part in plain.items() if name != "occasion"})


@pytest.fixture(autouse=True)
def small_populations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fallline.racing.stages.lanes_that_fit", lambda problem, steps: 3)


@pytest.fixture(scope="module")
def undisturbed() -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fallline.racing.stages.lanes_that_fit", lambda problem, steps: 3)
        return text(run(None))


def stop_after(adds: int, patch: pytest.MonkeyPatch) -> list[int]:
    """Let the race be interrupted as it keeps one job more than so many; returns what counts the jobs."""
    kept: list[int] = []
    add = StudyStore.add

    def adding(self: StudyStore, stage: str, runs: Any, outcomes: Any) -> None:
        if len(kept) == adds:
            raise KeyboardInterrupt
        add(self, stage, runs, outcomes)
        kept.append(len(outcomes))

    patch.setattr(StudyStore, "add", adding)
    return kept


@pytest.mark.parametrize("adds", range(JOBS))
def test_a_race_is_taken_up_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: str, adds: int
) -> None:
    path = tmp_path / "races.db"
    with monkeypatch.context() as patch:
        stop_after(adds, patch)
        with pytest.raises(KeyboardInterrupt):
            run(path)
    (stopped,) = past_races(path)
    assert not stopped.finished
    with monkeypatch.context() as patch:
        trained = stop_after(JOBS, patch)
        assert text(run(path)) == undisturbed
    assert sum(trained) == stopped.planned - stopped.kept
    assert text(kept_result(path)) == undisturbed
    (finished,) = past_races(path)
    assert (finished.finished, finished.kept, finished.name) == (True, finished.planned, stopped.name)
    assert finished.sentence


def test_what_was_measured_is_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "races.db"
    first = run(path)
    for measuring in ("make_plan", "solo_seconds"):
        monkeypatch.setattr(f"fallline.racing.protocol.{measuring}", lambda *_: pytest.fail("measured again"))
    again = run(path, resume=past_races(path)[0].name)
    assert text(again) == text(first)
    seconds = [result.to_json()["occasion"]["step_seconds"] for result in (first, again)]
    assert seconds[0] == seconds[1]


def test_another_seed_is_another_race(tmp_path: Path) -> None:
    path = tmp_path / "races.db"
    run(path)
    with pytest.raises(ValueError, match=r"differs in its seed \(0 there, 1 here\)"):
        run(path, resume=past_races(path)[0].name, seed=1)
    run(path, seed=1)
    assert [race.seed for race in past_races(path)] == [1, 0]


KILLED = """
import os, signal, sys
import fallline.racing.storage.store as storing
from fallline.racing.storage.trials import Trials
sys.path.insert(0, {folder!r})
import test_resume
from pathlib import Path

add, jobs = Trials.add, []

def killed_between_the_rows_and_their_commit(self, session, *runs):
    add(self, session, *runs)
    session.flush()
    jobs.append(runs)
    if len(jobs) == 3:
        os.kill(os.getpid(), signal.SIGKILL)

Trials.add = killed_between_the_rows_and_their_commit
import fallline.racing.stages
fallline.racing.stages.lanes_that_fit = lambda problem, steps: 3
test_resume.run(Path({path!r}))
"""


def test_a_process_that_is_killed_as_it_writes_leaves_no_half_job(tmp_path: Path, undisturbed: str) -> None:
    path = tmp_path / "races.db"
    code = KILLED.format(folder=str(Path(__file__).parent), path=str(path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr
    (stopped,) = past_races(path)
    assert stopped.kept == 6  # of two jobs; the third was written and not committed
    assert text(run(path)) == undisturbed
