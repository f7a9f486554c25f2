"""What `fallline race` writes: tried before anything is spent, and kept in the storage whatever becomes of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from fallline.cli.main import app
from fallline.cli.race_outputs import Outputs
from fallline.racing.result import RaceResult
from fallline.racing.storage.races import past_races


def fallline(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["race", *arguments], env={"COLUMNS": "160"})


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


OWN = """
import torch
from torch import nn
import fallline
X, y = torch.randn(60, 3, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 2
problem = fallline.Problem(
    model=lambda: nn.Linear(3, 2), loss=nn.functional.cross_entropy,
    train=(X[:30], y[:30]), valid=(X[30:45], y[30:45]), test=(X[45:], y[45:]), batch=30, epochs=4,
)
"""


def test_several_problems_write_a_page_and_curves_each(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    written: list[str] = []
    for writes in ("report", "to_tensorboard"):
        monkeypatch.setattr(RaceResult, writes, lambda self, path: written.append(str(path)))
    monkeypatch.setattr(RaceResult, "with_slices", lambda self: self)
    Path("own.py").write_text(OWN)
    asked = ("--problems", "beale, own.py", "--arms", "sgd,adam", "--effort", "quick", "--training", "in turn")
    done = fallline(*asked, "--tensorboard", "curves", "--json", "all.json", "--report", "page.html", "--quiet")
    assert done.exit_code == 0, done.output
    assert written == ["page-beale.html", "curves/beale", "page-own.html", "curves/own"]
    told = json.loads(Path("all.json").read_text())
    assert {name: race["protocol"]["training"] for name, race in told["races"].items()} == {
        "beale": "in turn", "own": "in turn",
    }  # fmt: skip
    assert {*told["decision"]["problems"], *told["decision"]["left_out"]} == {"beale", "own"}
    assert len({race["protocol"]["seed"] for race in told["races"].values()}) == 2
    assert all(line in " ".join(done.output.split()) for line in told["decision"]["lines"])
    assert "in your own program" not in done.output  # the decision and its table alone


def test_several_lengths_of_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("own.py").write_text(OWN)
    asked = ("own.py", "--budgets", "0.5,1", "--arms", "sgd,adam", "--effort", "quick", "--no-report")
    done = fallline(*asked, "--json", "all.json")
    assert done.exit_code == 0, done.output
    told = json.loads(Path("all.json").read_text())
    assert [(one["problem"], one["epochs"]) for one in told["decision"]["lengths"]] == [
        ("own (2 of 4 epochs)", 2), ("own", 4),
    ]  # fmt: skip
    assert {name: race["protocol"]["epochs"] for name, race in told["races"].items()} == {
        "own (2 of 4 epochs)": 2, "own": 4,
    }  # fmt: skip
    end = " ".join(done.output[done.output.index("together") :].split())
    assert all(line in end for line in told["decision"]["lines"])
    assert "own: test loss (above the best) by length of a run" in end
    again = fallline(*asked, "--quiet")
    assert again.exit_code == 0, again.output
    assert {one.kept for one in past_races("fallline-runs.db")} == {36}
    assert len(past_races("fallline-runs.db")) == 2


@pytest.mark.parametrize(
    ("outputs", "sentence"),
    [
        (Outputs(Path("/proc/x.json"), None, None), "--json /proc/x.json can't be written ("),
        (Outputs(None, Path("/proc/x.html"), None), "--report /proc/x.html can't be written ("),
        (Outputs(None, Path("no/x.html"), None), "there is no folder"),
        (Outputs(Path("."), None, None), "that is a folder; give a file"),
        (Outputs(None, None, Path("file")), "that is a file; give a folder"),
    ],
)
def test_what_cannot_be_written_is_refused(capsys: pytest.CaptureFixture[str], outputs: Outputs, sentence: str) -> None:
    Path("file").touch()
    with pytest.raises(typer.Exit) as left:
        outputs.check()
    assert left.value.exit_code == 2
    assert sentence in capsys.readouterr().err


def test_a_check_leaves_everything_as_it_was(folder: Path) -> None:
    Path("there.json").write_text("kept")
    Outputs(Path("there.json"), Path("new.html"), None).check()
    assert Path("there.json").read_text() == "kept"
    assert [path.name for path in folder.iterdir()] == ["there.json"]


def test_a_failure_afterwards_loses_nothing(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    def full(self: RaceResult, path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RaceResult, "write_json", full)
    done = fallline("beale", "--arms", "sgd", "--effort", "quick", "--json", "race.json", "--quiet")
    assert done.exit_code == 1
    assert done.stderr == (
        "fallline: --json race.json can't be written (No space left on device); the result is kept in "
        f"{folder / 'fallline-runs.db'}, and `fallline report` makes its page\n"
    )
    assert Path("race.html").exists()  # the other one is written none the less
    assert past_races("fallline-runs.db")[0].finished
