"""`fallline race --resume`: which race it takes up, and what it asks for."""

from __future__ import annotations

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
from fallline.racing.storage.store import Store, StudyStore

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
    """A race that is interrupted as it keeps its first runs; its name."""

    def interrupted(self: StudyStore, *runs: Any) -> None:
        raise KeyboardInterrupt

    problem = made(origin)
    given = {"arms": ["sgd"], "effort": SMALL, "storage": "fallline-races.db", "training": "in turn", **changes}
    with monkeypatch.context() as patch:
        patch.setattr(StudyStore, "add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fl.race(problem, seed=seed, **given)
    return past_races("fallline-races.db")[0].name


def made(origin: str | None) -> fl.Problem:
    from fallline.cli.problems import read_problem
    from fallline.problems import find

    if origin == "mine.py":
        problem = read_problem(Path(origin))
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
    return [race.name for race in past_races("fallline-races.db") if race.finished]


def told(done: Result) -> str:
    assert done.exit_code == 2, done.output
    return " ".join(done.stderr.split())


def test_a_bundled_problem_needs_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("rosenbrock").mkdir()  # what the storage calls rosenbrock is no file
    name = stop(monkeypatch, "rosenbrock", seed=3)
    done = fallline("--resume")
    assert done.exit_code == 0, done.output
    assert finished() == [name]
    assert past_races("fallline-races.db")[0].seed == 3


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


def test_the_latest_that_nobody_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    oldest, older = (stop(monkeypatch, "rosenbrock", seed) for seed in (0, 1))
    running = begin(monkeypatch)
    done = fallline("--resume")
    assert done.exit_code == 0, done.output
    assert finished() == [older]
    done = fallline("--resume", "--race", oldest)
    assert done.exit_code == 0, done.output
    assert finished() == [older, oldest]
    assert "was stopped; `fallline races` lists" in told(fallline("--resume"))
    assert f"the race '{running.name}' is being run by process" in told(
        fallline("--resume", "--race", str(running.name))
    )
    running.close()


def begin(monkeypatch: pytest.MonkeyPatch) -> Store:
    """A race of seed 2 that this process is running."""
    from fallline.racing.storage.store import open_store

    stores: list[Store] = []

    def kept(*given: Any, **named: Any) -> Store:
        stores.append(open_store(*given, **named))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("fallline.racing.protocol.open_store", kept)
        with pytest.raises(KeyboardInterrupt):
            fl.race(made("rosenbrock"), ["sgd"], SMALL, seed=2, storage="fallline-races.db")
    return stores[0]


@pytest.mark.parametrize(
    ("origin", "changes", "asked", "sentence"),
    [
        ("rosenbrock", {}, ("beale",), "no race on beale in"),
        ("rosenbrock", {}, ("--race", "x"), "there is no race 'x' in"),
        ("rosenbrock", {}, ("beale", "--race", "{name}"), "can't be taken up, as it differs in its"),
        (None, {}, (), "was started by a program with objects of its own"),
        ("rosenbrock", {"arms": [fl.rules.adam]}, (), "was started by a program with objects of its own"),
    ],
)
def test_what_cannot_be_taken_up(
    monkeypatch: pytest.MonkeyPatch, origin: str | None, changes: Any, asked: tuple[str, ...], sentence: str
) -> None:
    name = stop(monkeypatch, origin, **changes)
    assert sentence in told(fallline("--resume", *(one.replace("{name}", name) for one in asked)))


def test_a_finished_race_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    name = stop(monkeypatch, "rosenbrock")
    assert fallline("--resume").exit_code == 0
    sentence = told(fallline("--resume", "--race", name))
    assert f"the race '{name}' has finished; `fallline report` makes its page" in sentence
