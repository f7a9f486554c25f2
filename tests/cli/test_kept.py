"""`fallline race` asked again, for the same or for more: by the storage, what is missing is trained and no more."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fallline.cli.main import app
from fallline.racing.output.data import lasting_part
from fallline.racing.storage.races import past_races

FILE = """
import torch, fallline as fl
from torch import nn
X = torch.linspace(-1, 1, 240).reshape(60, 4)
y = X.square().sum(1, keepdim=True)
problem = fl.Problem(model=lambda: nn.Linear(4, 1), loss=nn.functional.mse_loss, train=(X[:40], y[:40]),
                     valid=(X[40:50], y[40:50]), test=(X[50:], y[50:]), batch=8, epochs=EPOCHS)
"""
#: Two arms of 4 trials; the best 2 of each on 10 seeds.
ASKED = ("--training", "in turn", "--arms", "sgd,adam", "--trials", "4", "--finalists", "2", "--seeds", "10")
ALL = 2 * (4 + 2 * 10)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("mine.py").write_text(FILE.replace("EPOCHS", "1"))
    return tmp_path


def race(*options: str, storage: str = "runs.db", file: str = "mine.py") -> tuple[str, dict[str, Any]]:
    """Ask a race, and give what it printed last and its result as data."""
    asked = ["race", file, "--workers", "1", "--no-report", "--quiet", "--json", "race.json", *options]
    done = CliRunner().invoke(app, [*asked, "--storage", storage], env={"COLUMNS": "160"})
    assert done.exit_code == 0, done.output
    last = next(line for line in reversed(done.stdout.splitlines()) if line.startswith("Every run is kept"))
    return last, json.loads(Path("race.json").read_text())


def kept(storage: str = "runs.db") -> dict[str, tuple[str, float]]:
    """The arm of every run in a storage, and when it was kept, by its key."""
    with closing(sqlite3.connect(storage)) as connection:
        return {key: (arm, at) for key, arm, at in connection.execute("SELECT key, arm, kept_at FROM runs")}


def runs_of(result: dict[str, Any]) -> str:
    """What was run, of the arms in the order of their names: what is concluded hangs on how often one has looked."""
    plain = lasting_part(result)
    return json.dumps([plain["protocol"], sorted(plain["arms"], key=lambda arm: str(arm["name"]))])


#: What is asked after the race above, how many runs are trained for it, of how many.
MORE: dict[str, tuple[tuple[str, ...], int, int]] = {
    "the same": (ASKED, 0, ALL),
    "twenty more seeds": ((*ASKED, "--seeds", "30"), 2 * 2 * 20, 2 * (4 + 2 * 30)),
    "fewer seeds": ((*ASKED, "--seeds", "3"), 0, 2 * (4 + 2 * 3)),
    "one more arm": ((*ASKED, "--arms", "sgd,adam,lion"), 24, 3 * 24),
    "one arm of two": ((*ASKED, "--arms", "adam"), 0, 24),
    "one more finalist": ((*ASKED, "--finalists", "3"), 2 * 10, ALL + 2 * 10),
    "fresh ones": ((*ASKED, "--fresh"), ALL, ALL),
    "another seed": ((*ASKED, "--seed", "5"), ALL, ALL),
}


@pytest.mark.parametrize("name", MORE)
def test_what_is_missing_is_trained_and_no_more(name: str) -> None:
    more, trained, runs = MORE[name]
    _, first = race(*ASKED)
    before = kept()
    assert first["occasion"]["runs"] == {"trained": ALL, "kept_before": 0}
    assert len(before) == ALL
    last, result = race(*more)
    after = kept()
    assert sum(before.get(key) != run for key, run in after.items()) == trained
    assert before.keys() <= after.keys()
    assert result["occasion"]["runs"] == {"trained": trained, "kept_before": runs - trained}
    assert (f"runs.db: {runs - trained} of {runs} were there already (" in last) == (trained < runs)
    assert runs_of(result) == runs_of(race(*more, storage="anew.db")[1])


def test_more_trials_train_the_new_ones_and_finals_of_the_better_ones() -> None:
    race(*ASKED, "--rounds", "1")
    before = kept()
    last, result = race(*ASKED, "--rounds", "1", "--trials", "8")
    new = 2 * 4 + 10 * sum(final["trial"] > 3 for arm in result["arms"] for final in arm["finals"])
    assert len(kept()) - len(before) == result["occasion"]["runs"]["trained"] == new
    assert f"{2 * (8 + 20) - new} of {2 * (8 + 20)} were there already" in last


def test_another_problem_shares_nothing() -> None:
    race(*ASKED)
    Path("longer.py").write_text(FILE.replace("EPOCHS", "2"))
    last, result = race(*ASKED, file="longer.py")
    assert result["occasion"]["runs"] == {"trained": ALL, "kept_before": 0}
    assert "already" not in last
    assert len(kept()) == 2 * ALL


@pytest.mark.parametrize("some", [("--arm", "adam"), ("--problem", "mine")])
def test_what_was_forgotten_is_trained_again(some: tuple[str, str]) -> None:
    _, first = race(*ASKED)
    told = CliRunner().invoke(app, ["runs", "runs.db", *some, "--forget"])
    gone = ALL if "--problem" in some else ALL // 2
    assert told.stdout == f"{gone} runs forgotten; what races concluded from them stays.\n"
    assert len(kept()) == ALL - gone
    _, again = race(*ASKED)
    assert again["occasion"]["runs"] == {"trained": gone, "kept_before": ALL - gone}
    assert runs_of(again) == runs_of(first)


def test_damaged_runs_are_trained_again() -> None:
    _, first = race(*ASKED)
    with closing(sqlite3.connect("runs.db")) as connection:
        connection.execute("UPDATE runs SET outcome = x'00' WHERE key IN (SELECT key FROM runs ORDER BY key LIMIT 7)")
        connection.commit()
    _, again = race(*ASKED)
    assert again["occasion"]["runs"] == {"trained": 7, "kept_before": ALL - 7}
    assert runs_of(again) == runs_of(first)
    assert race(*ASKED)[1]["occasion"]["runs"]["trained"] == 0


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
@pytest.mark.parametrize("how", ["the same command", "--resume", "--resume --race"])
def test_a_race_that_is_killed_goes_on(folder: Path, how: str) -> None:
    Path("mine.py").write_text(FILE.replace("EPOCHS", "30"))
    command = [sys.executable, "-m", "fallline", "race", "mine.py", "--workers", "1", "--storage", "runs.db"]
    with subprocess.Popen([*command, *ASKED], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        while not Path("runs.db").exists() or not any(one.kept for one in past_races("runs.db")):
            assert running.poll() is None
            time.sleep(0.01)
        running.send_signal(signal.SIGKILL)
    (stopped,), before = past_races("runs.db"), kept()
    assert not stopped.finished
    named = ("--race", stopped.name) if "--race" in how else ()
    _, result = race(*(("--resume", *named) if "resume" in how else ASKED))
    assert result["occasion"]["runs"] == {"trained": ALL - len(before), "kept_before": len(before)}
    assert before.items() <= kept().items()
    assert runs_of(result) == runs_of(race(*ASKED, storage="anew.db")[1])
    (finished,) = past_races("runs.db")
    assert (finished.name, finished.finished, finished.kept) == (stopped.name, True, ALL)
