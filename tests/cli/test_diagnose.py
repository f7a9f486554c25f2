"""`fallline diagnose`: cost, findings, tables and file; and how it leaves where it can't go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fallline import landscape
from fallline.cli.main import app
from fallline.landscape.diagnosis import Stage
from fallline.racing.result import RaceResult

OWN = """
import torch
from torch import nn
import fallline
X, y = torch.randn(60, 3, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 2
def model():
    return nn.Linear(3, 2)
more = {}
# the case
problem = fallline.Problem(
    model=model, loss=nn.functional.cross_entropy, train=(X[:30], y[:30]), valid=(X[30:45], y[30:45]),
    test=(X[45:], y[45:]), batch=30, epochs=4, **more,
)
"""


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def diagnose(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["diagnose", *arguments])


def words(result: Result) -> str:
    return " ".join(result.output.split())


def test_a_bundled_problem() -> None:
    done = diagnose("quadratic", "--parts", "rates,place", "--json", "found.json", "--figures", "charts")
    assert done.exit_code == 0, done.output
    told = words(done)
    assert told.startswith("About ")
    assert "gradients of 1 example" in told
    assert "quadratic, after 200 steps of gradient_descent: 3 findings." in told
    assert "- Learning rates above 0.0204 diverge, for the top curvature is 100. edges of 5 seeds" in told
    data = json.loads(Path("found.json").read_text())
    assert all(finding["sentence"] in told for finding in data["findings"])
    assert data["curvature"]["top"] == [pytest.approx(100.0)]
    assert [file.name for file in Path("charts").iterdir()] == ["loss-by-learning-rate.svg"]
    assert f"All of it is written to {Path('found.json').resolve()}." in told


def test_a_file_and_all_options() -> None:
    Path("own.py").write_text(OWN)
    done = diagnose(
        "own.py", "--optimizer", "adam", "--lr", "0.01", "--parts", "run,noise", "--batch", "all", "--seeds", "2",
        "--examples", "20", "--seed", "3", "--quiet", "--json", "found.json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert not words(done).startswith("About")
    assert "measured" not in words(done)
    assert "s in all" not in words(done)
    data = json.loads(Path("found.json").read_text())
    assert (data["problem"], data["optimizer"], data["hyperparameters"]["lr"]) == ("own", "adam", 0.01)
    assert data["along"]["examples"] == data["noise"]["examples"] == 20
    assert data["rates"] is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "there is no bundled problem 'nowhere'"),
        (["nowhere.py"], "there is no file nowhere.py"),
        (["quadratic", "--parts", "plaice"], "parts: must be"),
        (["quadratic", "--optimizer", "adm"], "did you mean 'adam'"),
        (["quadratic", "--lr", "-1"], "lr must be"),
        (["quadratic", "--batch", "some"], "batch must be"),
        (["quadratic", "--seed", "-1"], "seed must be"),
        (["quadratic", "--figures", "taken"], "--figures taken: that is a file; give a folder"),
        (["quadratic", "--json", "no/such/folder.json"], "--json no/such/folder.json: there is no folder"),
    ],
)
def test_what_can_not_be_done(arguments: list[str], said: str) -> None:
    Path("taken").touch()
    done = diagnose(*arguments)
    assert done.exit_code == 2
    assert words(done).startswith("fallline: ")
    assert said in words(done)
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("def model():\n    return nn.Linear(3, 2).requires_grad_(False)", "train"),
        ("def model():\n    return nn.Linear(4, 2)", "model"),
        ("class Net(nn.Linear):\n    def forward(self, x):\n        raise RuntimeError('too wide')\n"
         "def model():\n    return Net(3, 2)", "too wide"),
        ("import sys\nclass Net(nn.Linear):\n    def forward(self, x):\n        sys.exit(3)\n"
         "def model():\n    return Net(3, 2)", "called sys.exit(3)"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file(case: str, said: str) -> None:
    Path("own.py").write_text(OWN.replace("# the case", case))
    done = diagnose("own.py", "--parts", "place")
    assert done.exit_code in (1, 2)
    assert words(done).startswith("fallline: ")
    assert said in words(done)
    assert "Traceback" not in done.output


def test_ctrl_c_leaves_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*arguments: Any, **named: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("fallline.landscape.diagnosis.parts.curvature", stopped)
    done = diagnose("quadratic", "--optimizer", "adam", "--parts", "rates,place", "--json", "found.json")
    assert done.exit_code == 130
    assert "The diagnosis was interrupted while it measured the curvature at the weights." in words(done)
    assert "Learning rates" in words(done)
    data = json.loads(Path("found.json").read_text())
    assert not data["finished"]
    assert data["rates"] is not None


def test_a_race_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default what takes a second, with the page; with --diagnose all of it, seen as it goes on."""
    Path("own.py").write_text(OWN)
    race = ["race", "own.py", "--arms", "sgd,adam", "--effort", "quick", "--report", "page.html"]
    done = CliRunner().invoke(app, [*race, "--json", "first.json", "--quiet"])
    assert done.exit_code == 0, done.output
    first = json.loads(Path("first.json").read_text())["diagnosis"]
    assert (first["rates"], first["along"]) == (None, None)
    assert first["curvature"] is not None
    stages: list[Stage] = []
    diagnose_result = RaceResult.diagnose

    def watched(self: RaceResult, *, progress: Any) -> landscape.Diagnosis:
        def tell(stage: Stage) -> None:
            stages.append(stage)
            progress(stage)

        return diagnose_result(self, progress=tell)

    monkeypatch.setattr(RaceResult, "diagnose", watched)
    done = CliRunner().invoke(app, [*race, "--json", "full.json", "--diagnose"])
    assert done.exit_code == 0, done.output
    full = json.loads(Path("full.json").read_text())["diagnosis"]
    assert full["rates"] is not None
    assert full["along"] is not None
    assert stages[0].cost in words(done)
    assert all(finding["sentence"] in words(done) for finding in full["findings"])
    assert all(title in words(done) for title in ("Along the run", "Layers", "rates that train", "noise scale"))
    assert '<h2 id="diagnosis">' in Path("page.html").read_text()


@pytest.mark.parametrize("other", [["--problems", "digits"], ["--budgets", "0.5,1"]])
def test_one_race_is_diagnosed(other: list[str]) -> None:
    done = CliRunner().invoke(app, ["race", "--diagnose", *other])
    assert done.exit_code == 2
    assert "--diagnose takes one race" in done.output
