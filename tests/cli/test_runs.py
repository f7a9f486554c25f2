"""`fallline runs` lists and forgets what a storage keeps; `fallline export` gives it to Optuna."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from typer.testing import CliRunner, Result

from fallline import rules
from fallline.cli.main import app
from fallline.racing.runs import Outcome, Run
from fallline.racing.storage.kept import kept_runs
from fallline.racing.storage.races import Card
from fallline.racing.storage.store import open_store
from fallline.training.updates import LaneRule


@dataclass(frozen=True)
class Kept:
    """A run to put into a storage."""

    arm: str
    configuration: dict[str, Any]
    valid: float
    score: float = float("nan")
    diverged: bool = False


TUNED = [
    Kept("sgd", {"lr": 0.1, "batch": 32, "schedule": "cosine"}, 0.5),
    Kept("sgd", {"lr": 10.0, "batch": 64, "schedule": None}, 9.0, diverged=True),
    Kept("adam", {"lr": 1e-3, "batch": 128, "schedule": "linear", "beta1": 0.9}, 0.25),
]
FINAL = Kept("adam", {"lr": 1e-3, "batch": 128, "schedule": "linear", "beta1": 0.9}, 0.25, score=0.75)


def fallline(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "160"})


def keep(problem: str, stages: dict[str, list[Kept]], *, higher: bool = True) -> str:
    """Put a race with its runs into the storage; its name."""
    spaces: dict[str, Any] = {one.arm: {} for some in stages.values() for one in some}
    command = {"effort": {}, "seed": 0}
    store = open_store("runs.db", Card(problem, problem, problem, higher, spaces, command, 9))
    for stage, some in stages.items():
        runs = {
            n: Run(one.arm, one.configuration, 7 + n, LaneRule(rules.adam, rules.adam.defaults), 32, 1200)
            for n, one in enumerate(some)
        }
        keys = {n: f"{problem} {stage} {n}".replace(" ", "-") for n in runs}
        store.add(stage, keys, runs, {n: outcome(one) for n, one in enumerate(some)})
    store.close()
    return str(store.name)


def outcome(one: Kept) -> Outcome:
    ones = np.ones(1)
    steps = ones.astype(int)
    return Outcome(steps, steps, ones, ones, np.array([one.valid]), 3 if one.diverged else -1, one.score)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def names() -> tuple[str, str]:
    """Two races in a storage."""
    digits = keep("digits", {"tuning": TUNED, "finals": [FINAL]})
    return digits, keep("moons", {"tuning": [Kept("adam", {"lr": 0.5}, 2.0)]}, higher=False)


def lines(shown: Result) -> list[str]:
    assert shown.exit_code == 0, shown.output
    return [" ".join(line.split()) for line in shown.stdout.splitlines() if not line.startswith("─")]


@pytest.mark.parametrize("asked", [["runs.db"], ["--storage", "runs.db"]])
def test_how_many_of_each_problem_and_arm(names: tuple[str, str], asked: list[str]) -> None:
    assert lines(fallline("runs", *asked)) == [
        "problem arm trials finals diverged",
        "digits sgd 2 0 1",
        "digits adam 1 1 0",
        "moons adam 1 0 0",
    ]
    assert lines(fallline("runs", *asked, "--arm", "adam"))[1:] == ["digits adam 1 1 0", "moons adam 1 0 0"]


def test_each_run_of_a_problem(names: tuple[str, str]) -> None:
    told = lines(fallline("runs", "runs.db", "--problem", "digits"))
    now = "less than a second ago"
    adam = "lr 0.001, batch 128, schedule linear, beta1 0.9"
    assert told == [
        "run arm configuration seed steps validation test kept",
        f"digits-tunin sgd lr 0.1, batch 32, schedule cosine 7 1,200 0.5 {now}",
        f"digits-tunin sgd lr 10, batch 64, schedule None 8 1,200 diverged {now}",
        f"digits-tunin adam {adam} 9 1,200 0.25 {now}",
        f"digits-final adam {adam} 7 1,200 0.75 {now}",
    ]
    assert lines(fallline("runs", "runs.db", "--problem", "digits", "--arm", "sgd")) == [told[0], *told[1:3]]


@pytest.mark.parametrize(("days", "told"), [(0.02, "about 29 minutes ago"), (3, "about 72 hours ago")])
def test_how_long_ago(names: tuple[str, str], days: float, told: str) -> None:
    with closing(sqlite3.connect("runs.db")) as connection:
        connection.execute("UPDATE runs SET kept_at = kept_at - 86400 * ?", [days])
        connection.execute("UPDATE races SET changed_at = changed_at - 86400 * ?", [days])
        connection.commit()
    assert lines(fallline("runs", "runs.db", "--problem", "moons"))[1].endswith(told)
    assert lines(fallline("races", "runs.db"))[1].endswith(f"unfinished, last run {told}; the same command goes on")


@pytest.mark.parametrize(
    ("some", "gone"),
    [
        (("--arm", "adam"), 3),
        (("--problem", "digits"), 4),
        (("--problem", "moons"), 1),
        (("--problem", "digits", "--arm", "adam"), 2),
        (("--problem", "faces"), 0),
    ],
)
def test_runs_are_forgotten(names: tuple[str, str], some: tuple[str, ...], gone: int) -> None:
    told = fallline("runs", "runs.db", *some, "--forget")
    runs = "1 run" if gone == 1 else f"{gone} runs"
    assert (told.exit_code, told.stdout) == (0, f"{runs} forgotten; what races concluded from them stays.\n")
    assert len(kept_runs("runs.db")) == 5 - gone
    assert fallline("runs", "runs.db", *some).stdout == "There are no such runs in runs.db.\n"


def test_all_of_them_are_not_forgotten_at_once(names: tuple[str, str]) -> None:
    told = fallline("runs", "runs.db", "--forget")
    assert (told.exit_code, told.stdout) == (2, "")
    assert told.stderr.startswith("fallline: --forget needs --problem or --arm, to say which runs; to forget all of")
    assert len(kept_runs("runs.db")) == 5


@pytest.mark.parametrize("text", ["[bold red]x[/bold red]", "[/]", "\x1b[31mx", "x\x07\nx", "\\[bold]x"])
def test_what_a_storage_says_is_text(text: str) -> None:
    keep(text, {"tuning": [Kept(f"A{text}", {f"n{text}": f"v{text}"}, 0.5)]})
    harmless = "".join(one if one.isprintable() else "?" for one in text)
    assert f"{harmless} " in fallline("runs", "runs.db").stdout
    shown = fallline("runs", "runs.db", "--problem", text).stdout
    assert [one for one in (f"A{harmless}", f"n{harmless} v{harmless}") if one not in shown] == []


# Optuna.


def study(name: str, file: str = "optuna.db") -> optuna.Study:
    return optuna.load_study(study_name=name, storage=f"sqlite:///{file}")


def test_races_are_written_for_optuna(names: tuple[str, str], folder: Path) -> None:
    told = fallline("export", "runs.db")
    assert (told.exit_code, told.stdout) == (
        0,
        f"2 races with the 5 runs that are kept written to {folder / 'optuna.db'}.\n",
    )
    digits, moons = map(study, names)
    assert [one.direction.name for one in (digits, moons)] == ["MAXIMIZE", "MINIMIZE"]
    assert [trial.state.name for trial in digits.trials] == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert [trial.value for trial in digits.trials] == [0.5, None, 0.25, 0.75]
    assert [trial.params for trial in digits.trials] == [one.configuration for one in (*TUNED, FINAL)]
    assert digits.best_params == FINAL.configuration
    assert digits.trials[3].user_attrs == {
        "arm": "adam", "stage": "finals", "seed": 7, "steps": 1200, "key": "digits-finals-0",
    }  # fmt: skip
    assert [trial.value for trial in moons.trials] == [2.0]
    rows = digits.trials_dataframe()
    assert list(rows["user_attrs_arm"]) == ["sgd", "sgd", "adam", "adam"]
    again = fallline("export", "runs.db")
    assert (again.exit_code, again.stderr) == (
        2, "fallline: optuna.db is there already; give --optuna another file\n",
    )  # fmt: skip
    assert fallline("export", "runs.db", "--race", names[1], "--optuna", "one.db").exit_code == 0
    assert optuna.get_all_study_names("sqlite:///one.db") == [names[1]]


@pytest.mark.parametrize(
    "values",
    [[0.1, 3], [1, 5], [0, 0.5], [-1.0, 2.0], ["a", 1, None, True], [[0.9, 0.99], [0.5, 0.9]], [{"a": 1}, 0.5], [7]],
)
def test_values_of_any_kind(values: list[Any]) -> None:
    name = keep("digits", {"tuning": [Kept("own", {"x": value}, 0.5) for value in values]})
    assert fallline("export", "runs.db").exit_code == 0
    found = [trial.params["x"] for trial in study(name).trials]
    assert found == [json.dumps(value) if isinstance(value, list | dict) else value for value in values]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (("--race", "x"), "there is no race 'x' in runs.db; `fallline races` lists those that there are"),
        (
            ("--optuna", "no/such/o.db"),
            "no/such/o.db can't be written (No such file or directory); give --optuna another",
        ),
        (("--optuna", "runs.db"), "runs.db is there already; give --optuna another file"),
        (("--optuna", "/proc/o.db"), "/proc/o.db can't be written"),
    ],
)
def test_what_cannot_be_written_for_optuna(
    names: tuple[str, str], folder: Path, asked: tuple[str, ...], sentence: str
) -> None:
    told = fallline("export", "runs.db", *asked)
    assert (told.exit_code, told.stdout) == (2, "")
    assert told.stderr.startswith(f"fallline: {sentence}")
    assert [path.name for path in folder.iterdir()] == ["runs.db"]


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left"), optuna.exceptions.StorageInternalError("No\nspace left")]
)
def test_a_file_that_was_begun_is_taken_away(
    names: tuple[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def full(*_: Any) -> None:
        raise error

    monkeypatch.setattr(optuna.Study, "add_trials", full)
    told = fallline("export", "runs.db")
    assert (told.exit_code, "No space left" in told.stderr) == (2, True)
    assert [path.name for path in folder.iterdir()] == ["runs.db"]
