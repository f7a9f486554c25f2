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


def test_several_problems_write_a_page_and_curves_each(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    written: list[str] = []
    for writes in ("report", "to_tensorboard"):
        monkeypatch.setattr(RaceResult, writes, lambda self, path: written.append(str(path)))
    monkeypatch.setattr(RaceResult, "with_slices", lambda self: self)
    asked = ("--problems", "beale,easom", "--arms", "sgd,adam", "--effort", "quick", "--training", "in turn")
    done = fallline(*asked, "--tensorboard", "curves", "--json", "all.json", "--report", "page.html", "--quiet")
    assert done.exit_code == 0, done.output
    assert written == ["page-beale.html", "curves/beale", "page-easom.html", "curves/easom"]
    told = json.loads(Path("all.json").read_text())["races"]
    assert {name: race["protocol"]["training"] for name, race in told.items()} == {
        "beale": "in turn", "easom": "in turn",
    }  # fmt: skip


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
