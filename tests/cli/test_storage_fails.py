"""A storage that fails in the middle of `fallline race`: the race goes on, and its result says what is not kept."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fallline.cli.main import app
from fallline.cli.race_outputs import LiveRace
from fallline.racing.result import RaceResult
from fallline.racing.storage import database
from fallline.racing.storage.kept import kept_runs
from fallline.racing.storage.races import past_races
from tests.racing.postgres import MissingServerError, Server, postgres

STORAGE = Path("runs.db")
MINE = """
import torch, fallline as fl
X = torch.linspace(-1, 1, 240).reshape(60, 4)
y = X.square().sum(1, keepdim=True)
problem = fl.Problem(model=lambda: torch.nn.Linear(4, 1), loss=torch.nn.functional.mse_loss, train=(X[:40], y[:40]),
                     valid=(X[40:50], y[40:50]), test=(X[50:], y[50:]), batch=8, epochs=1)
"""
#: Runs of the trials of two arms, and of their finals.
TRIALS, FINALS = 2 * 8, 2 * 2 * 5
#: What the stages are called in which something happens.
STAGES = {"tuning": "tuning, round 1", "finals": "first finals"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(database, "_SECONDS_FOR_A_LOCK", 0.1)
    Path("mine.py").write_text(MINE)
    return tmp_path


def race(*options: str, storage: str = "runs.db", arms: str = "sgd,adam") -> Result:
    asked = ["race", "mine.py", "--effort", "quick", "--workers", "1", "--training", "in turn", "--json", "race.json"]
    return CliRunner().invoke(app, [*asked, "--arms", arms, "--storage", storage, *options], env={"COLUMNS": "200"})


def happens(monkeypatch: pytest.MonkeyPatch, accident: Callable[[], object], when: str) -> None:
    """Let an accident happen as a stage begins, or after the last."""
    stage, cut = LiveRace.stage, RaceResult.with_slices

    def begins(self: LiveRace, title: str, total: int) -> None:
        if title == STAGES.get(when):
            accident()
        stage(self, title, total)

    monkeypatch.setattr(LiveRace, "stage", begins)
    if when == "the end":
        monkeypatch.setattr(RaceResult, "with_slices", lambda self: (accident(), cut(self))[1])


def told(done: Result, sentence: str) -> dict[str, Any]:
    """The result, which is shown and written, with a warning that has this sentence; its storage is named nowhere."""
    assert done.exit_code == 0, done.output
    result: dict[str, Any] = json.loads(Path("race.json").read_text())
    (warning,) = (one for one in result["warnings"] if one.startswith("Not every run of this race is kept"))
    assert re.search(f"{sentence}. The result stands here all the same; write it to a file to keep it.$", warning)
    text = " ".join(done.stdout.split())
    assert warning in text
    assert not re.search(r"Every run is kept(?!.* as it ends\.)", text)
    assert result["occasion"]["storage"] is None
    assert warning[:30] in Path("race.html").read_text()
    return result


def timeless(result: dict[str, Any]) -> dict[str, Any]:
    """What no clock, no place and no storage had a say in."""
    return {"arms": result["arms"], "protocol": result["protocol"], "ranking": result["decision"]["ranking"]}


# Its file.


def deleted() -> None:
    for file in Path().glob("runs.db*"):
        file.unlink()


def replaced() -> None:
    deleted()
    STORAGE.touch()


def written_over() -> None:
    for file in Path().glob("runs.db*"):
        with file.open("r+b") as opened:
            opened.write(b"\xff" * file.stat().st_size)


def written_over_but_for_the_log() -> None:
    """What was written last stands beside the file and is written to it afterwards."""
    with STORAGE.open("r+b") as opened:
        opened.write(b"\xff" * STORAGE.stat().st_size)


def emptied() -> None:
    os.truncate(STORAGE, 0)


def without_a_table() -> None:
    with closing(sqlite3.connect(STORAGE)) as connection:
        connection.execute("DROP TABLE runs")


#: What happens to a file that has the runs of another race already, and what may be said of it.
ACCIDENTS: dict[Callable[[], None], str] = {
    deleted: "was deleted while it was in use",
    replaced: "was replaced by another file while it was in use",
    written_over: "failed: (file is not a database|database disk image is malformed|disk I/O error)",
    written_over_but_for_the_log: "failed: (file is not a database|database disk image is malformed)",
    emptied: "failed: (file is not a database|database disk image is malformed)",
    without_a_table: f"(failed: no such table: runs|{TRIALS + FINALS} runs can't be read back from the storage .*)",
}


@pytest.mark.parametrize("when", ["tuning", "finals", "the end"])
@pytest.mark.parametrize("accident", ACCIDENTS, ids=lambda accident: accident.__name__)
def test_an_accident(monkeypatch: pytest.MonkeyPatch, accident: Callable[[], None], when: str) -> None:
    race("--no-report", arms="lion")
    with monkeypatch.context() as patch:
        happens(patch, accident, when)
        result = told(race(), ACCIDENTS[accident])
    assert result["occasion"]["runs"] == {"trained": TRIALS + FINALS, "kept_before": 0}
    race("--storage", "other.db", "--no-report")
    assert timeless(result) == timeless(json.loads(Path("race.json").read_text()))


def test_it_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    happens(monkeypatch, deleted, "finals")
    text = " ".join(race().stdout.split())
    assert text.count("was deleted while it was in use; the race goes on, and its result is shown here.") == 1


def test_runs_that_somebody_forgets_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    def forget() -> None:
        with closing(sqlite3.connect(STORAGE)) as connection:
            connection.execute("DELETE FROM runs WHERE key IN (SELECT key FROM runs ORDER BY key LIMIT 3)")
            connection.commit()

    happens(monkeypatch, forget, "finals")
    told(race(), r"3 runs can't be read back from the storage .*runs\.db")
    assert len(kept_runs(STORAGE)) == TRIALS + FINALS - 3


# A lock, a disk.


@contextmanager
def locked() -> Iterator[None]:
    with closing(sqlite3.connect(STORAGE, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


@pytest.mark.parametrize(("when", "kept"), [("tuning", 0), ("finals", TRIALS), ("the end", TRIALS + FINALS)])
def test_another_program_locks_it_and_does_not_let_go(monkeypatch: pytest.MonkeyPatch, when: str, kept: int) -> None:
    with ExitStack() as until, monkeypatch.context() as patch:
        happens(patch, lambda: until.enter_context(locked()), when)
        result = told(race(), "failed: database is locked")
    assert len(kept_runs(STORAGE)) == past_races(STORAGE)[0].kept == kept
    race("--no-report")
    again = json.loads(Path("race.json").read_text())
    assert again["occasion"]["runs"] == {"trained": TRIALS + FINALS - kept, "kept_before": kept}
    assert timeless(again) == timeless(result)


def test_another_program_locks_it_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be kept at first is kept in the end."""
    with ExitStack() as until:
        happens(monkeypatch, lambda: until.enter_context(locked()), "tuning")
        happens(monkeypatch, until.close, "finals")
        done = race()
    text = " ".join(done.stdout.split())
    assert "failed: database is locked; the race goes on, and its result is shown here." in text
    assert f"Every run is kept in {STORAGE.resolve()} (" in text
    assert "Not every run" not in text
    assert len(kept_runs(STORAGE)) == past_races(STORAGE)[0].kept == TRIALS + FINALS


def test_a_storage_that_is_locked_before(folder: Path) -> None:
    race("--no-report", arms="lion")
    Path("race.json").unlink()
    with locked():
        done = race()
    assert (done.exit_code, done.stderr) == (
        2,
        f"fallline: the storage {folder / STORAGE} failed: database is locked\n",
    )
    assert not Path("race.json").exists()


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect

    def small(*given: Any, **named: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*given, **named)
        connection.execute("PRAGMA max_page_count = 18")
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", small)
        result = told(race(), "failed: database or disk is full")
    kept = len(kept_runs(STORAGE))
    assert 0 < kept < TRIALS + FINALS
    race("--no-report")
    again = json.loads(Path("race.json").read_text())
    assert again["occasion"]["runs"] == {"trained": TRIALS + FINALS - kept, "kept_before": kept}
    assert timeless(again) == timeless(result)


def test_a_file_that_may_only_be_read(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    race("--no-report")
    access = os.access
    # As root, every file may be written to.
    monkeypatch.setattr(os, "access", lambda path, mode: access(path, mode) and not mode & os.W_OK)
    done = race("--no-report", arms="lion")
    sentence = f"the storage {folder / STORAGE} can't be written (no permission); give another file"
    assert (done.exit_code, done.stderr) == (2, f"fallline: {sentence}\n")


# A server.


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    try:
        with postgres() as one:
            yield one
    except MissingServerError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("when", ["tuning", "finals", "the end"])
def test_a_server_that_is_stopped(monkeypatch: pytest.MonkeyPatch, server: Server, when: str) -> None:
    kept = {"tuning": 0, "finals": TRIALS, "the end": TRIALS + FINALS}[when]
    seed = str(kept)  # runs of its own
    with monkeypatch.context() as patch:
        happens(patch, server.stop, when)
        try:
            result = told(race("--seed", seed, storage=server.url), r"postgresql://racer:\*\*\*@.* failed: .*")
        finally:
            server.start()
    assert past_races(server.url)[0].kept == kept
    done = race("--seed", seed, "--no-report", storage=server.url)
    assert done.exit_code == 0, done.output
    again = json.loads(Path("race.json").read_text())
    assert again["occasion"]["runs"] == {"trained": TRIALS + FINALS - kept, "kept_before": kept}
    assert timeless(again) == timeless(result)


def test_a_server_that_is_begun_again(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    happens(monkeypatch, server.start, "finals")
    happens(monkeypatch, server.stop, "finals")  # before that
    done = race("--seed", "99", storage=server.url)
    assert done.exit_code == 0, done.output
    assert json.loads(Path("race.json").read_text())["occasion"]["storage"] is not None
    race_there = past_races(server.url)[0]
    assert (race_there.kept, race_there.finished) == (TRIALS + FINALS, True)
