"""`fallline race --resume`: which race it goes on with, and with which options."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from typer.testing import CliRunner, Result

import fallline as fl
from fallline.cli.main import app
from fallline.racing import Effort
from fallline.racing.storage.races import past_races
from fallline.racing.storage.store import Store

SMALL = Effort(trials=2, finalists=1, seeds=2)
FILE = """
from pathlib import Path
import torch, fallline as fl
from torch import nn
Path(__file__).with_name("was run").touch()
X = torch.linspace(-1, 1, 60).reshape(20, 3)
problem = fl.Problem(model=lambda: nn.Linear(3, 1), loss=nn.functional.mse_loss, train=(X, X[:, :1]),
                     valid=(X, X[:, :1]), test=(X, X[:, :1]), batch=10, epochs=1)
"""


def fallline(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["race", *arguments, "--no-report", "--quiet"], env={"COLUMNS": "160"})


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(FILE)
    return tmp_path


def stop(monkeypatch: pytest.MonkeyPatch, origin: str | None, seed: int = 0, **changes: Any) -> str:
    """A race that is interrupted once it has kept its first runs; its name."""
    add = Store.add

    def interrupted(self: Store, *runs: Any) -> None:
        add(self, *runs)
        raise KeyboardInterrupt

    problem = made(origin)
    given = {"arms": ["sgd"], "effort": SMALL, "storage": "fallline-runs.db", "training": "in turn", **changes}
    with monkeypatch.context() as patch:
        patch.setattr(Store, "add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fl.race(problem, seed=seed, **given)
    return past_races("fallline-runs.db")[0].name


def made(origin: str | None) -> fl.Problem:
    from fallline.cli.problems import read_problem
    from fallline.problems import find

    if origin == "mine.py":
        problem, _ = read_problem(Path(origin))
        Path("was run").unlink()
        return problem
    if origin is not None:
        problem = find(origin).make()
        problem.origin = origin
        return problem
    x = torch.linspace(-1, 1, 20).reshape(20, 1)
    return fl.Problem(
        model=lambda: nn.Linear(1, 1), loss=nn.functional.mse_loss, train=(x, x), valid=(x, x), test=(x, x), epochs=1
    )


def finished() -> list[str]:
    return [race.name for race in past_races("fallline-runs.db") if race.finished]


def told(done: Result) -> str:
    assert done.exit_code == 2, done.output
    return " ".join(done.stderr.split())


def test_a_bundled_problem_needs_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("rosenbrock").mkdir()  # what the storage calls rosenbrock is no file
    name = stop(monkeypatch, "rosenbrock", seed=3)
    done = fallline("--resume")
    assert done.exit_code == 0, done.output
    assert finished() == [name]
    assert past_races("fallline-runs.db")[0].seed == 3


def test_no_file_is_run_because_a_storage_names_it(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    name = stop(monkeypatch, "mine.py")
    command = f"give the file: fallline race {folder / 'mine.py'} --resume"
    for asked, ending in (((), ""), (("--race", name), f" --race '{name}'")):
        sentence = told(fallline("--resume", *asked))
        assert f"the race '{name}' is on the problem of a file, and no file is run" in sentence
        assert sentence.endswith(command + ending)
    assert not Path("was run").exists()
    done = fallline("mine.py", "--resume")
    assert done.exit_code == 0, done.output
    assert finished() == [name]


def test_the_latest_or_the_one_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    oldest, older, newest = (stop(monkeypatch, "rosenbrock", seed) for seed in (0, 1, 2))
    for asked, ended in (((), [newest]), (("--race", oldest), [newest, oldest]), ((), [newest, older, oldest])):
        done = fallline("--resume", *asked)
        assert done.exit_code == 0, done.output
        assert finished() == ended
    assert "no race in fallline-runs.db is unfinished; `fallline races` lists" in told(fallline("--resume"))
    assert f"no race '{oldest}' in fallline-runs.db is unfinished" in told(fallline("--resume", "--race", oldest))


@pytest.mark.parametrize(
    "changes",
    [
        {"training": "batched"},
        {"search": ["lr", "schedule"], "margin": 0.5},
        {"effort": Effort(trials=4, finalists=2, seeds=3, rounds=2), "arms": ["sgd", "adam"], "seed": 9},
        {"effort": Effort(trials=6, finalists=1, seeds=2, halving=2)},
        {"schedule": "cosine", "warm_up": 0.1},
    ],
)
def test_it_goes_on_with_its_own_options(monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]) -> None:
    """It is the same race, and what was kept of it is read."""
    name = stop(monkeypatch, "rosenbrock", **changes)
    before = past_races("fallline-runs.db")[0].kept
    done = fallline("--resume", "--json", "race.json")
    assert done.exit_code == 0, done.output
    (race,) = past_races("fallline-runs.db")
    assert (race.name, race.finished, race.kept) == (name, True, race.planned)
    assert json.loads(Path("race.json").read_text())["occasion"]["runs"]["kept_before"] == before > 0


@pytest.mark.parametrize(
    ("origin", "changes", "asked", "sentence"),
    [
        ("rosenbrock", {}, ("beale",), "no race on beale in"),
        ("rosenbrock", {}, ("--race", "x"), "no race 'x' in fallline-runs.db is unfinished; `fallline races` lists"),
        ("rosenbrock", {}, ("beale", "--race", "{name}"), "no race '{name}' on beale in fallline-runs.db is"),
        (None, {}, (), "was begun by a program with objects of its own; run that program again"),
        ("rosenbrock", {"arms": [fl.rules.adam]}, (), "was begun by a program with objects of its own"),
    ],
)
def test_what_cannot_be_gone_on_with(
    monkeypatch: pytest.MonkeyPatch, origin: str | None, changes: Any, asked: tuple[str, ...], sentence: str
) -> None:
    name = stop(monkeypatch, origin, **changes)
    given = [one.replace("{name}", name) for one in asked]
    assert sentence.replace("{name}", name) in told(fallline("--resume", *given))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"effort": {"trials": 2, "of": "another kind"}}, "can't be read; give them by `fallline race` itself"),
        ({"seed": None}, "no race in fallline-runs.db is unfinished"),
    ],
)
def test_options_that_somebody_changed(monkeypatch: pytest.MonkeyPatch, change: Any, sentence: str) -> None:
    stop(monkeypatch, "rosenbrock")
    with closing(sqlite3.connect("fallline-runs.db")) as connection:
        ((card,),) = connection.execute("SELECT card FROM races")
        card = json.loads(card)
        card["command"] |= change
        connection.execute("UPDATE races SET card = ?", [json.dumps(card)])
        connection.commit()
    assert sentence in told(fallline("--resume"))
