"""What a pipe or a file is told while a race runs: a line for each stage, and one now and then."""

from __future__ import annotations

import io
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from fallline import rules
from fallline.cli import race_outputs
from fallline.cli.console import Beat
from fallline.cli.main import app
from fallline.cli.race_outputs import LiveRace
from fallline.racing.runs import Outcome, Run
from fallline.training.updates import LaneRule

MINE = """
import torch, fallline as fl
data = torch.ones(16, 1), torch.ones(16, 1)
problem = fl.Problem(model=lambda: torch.nn.Linear(1, 1), loss=torch.nn.functional.mse_loss, train=data,
                     valid=(torch.zeros(2, 1), torch.ones(2, 1)), test=(-torch.ones(2, 1), torch.ones(2, 1)),
                     batch=8, epochs=1)
"""


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is printed, by a console that is no terminal."""
    written = io.StringIO()
    monkeypatch.setattr(race_outputs, "console", lambda: Console(file=written, width=120))
    return written


def test_a_line_comes_again_and_again() -> None:
    told, enough = io.StringIO(), threading.Event()
    count = iter(range(1_000_000))

    def line() -> str:
        number = next(count)
        if number == 3:
            enough.set()
        return f"line [{number}]"

    with Beat(line, Console(file=told), seconds=0.001):
        assert enough.wait(60)
    assert told.getvalue().startswith("line [0]\nline [1]\nline [2]\n")
    assert next(count) == told.getvalue().count("line")  # it has ended


def test_what_a_line_says(lines: io.StringIO) -> None:
    live = LiveRace(quiet=False)
    assert "is being prepared" in live._line()
    live.stage("tuning", 1000)
    assert lines.getvalue() == "tuning: 1,000 steps\n"
    assert live._line() == "tuning: 0 of 1,000 steps (0%)"
    live.advance(500)
    live.left(30.0, 50.0)
    assert live._line() == "tuning: 500 of 1,000 steps (50%), 30 to 50 seconds left"
    live.advance(1000)
    assert live._line().startswith("tuning: done")


def test_how_far_a_race_was_that_is_stopped() -> None:
    live = LiveRace(quiet=True)
    assert live.stopped() == "no run had begun"
    live.planned(1200)
    curve = np.ones(1)
    outcome = Outcome(curve.astype(int), curve.astype(int), curve, curve, curve, -1)
    for arm in ("sgd", "adam", "adam"):
        live.ran(Run(arm, {}, 0, LaneRule(rules.adam, rules.adam.defaults), 1, 1), outcome)
    assert live.stopped() == "3 of 1,200 runs had ended, 1,197 are still to be trained"


@pytest.mark.parametrize("quiet", [False, True])
def test_a_race_into_a_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quiet: bool) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("mine.py").write_text(MINE)
    asked = ["race", "mine.py", "--arms", "sgd", "--effort", "quick", "--no-report", "--training", "in turn"]
    done = CliRunner().invoke(app, [*asked, *(["--quiet"] if quiet else [])])
    sys.modules.pop("mine", None)
    assert done.exit_code == 0, done.output
    told = [line.split(":")[0] for line in done.stdout.splitlines() if line.endswith(" steps")]
    assert told == ([] if quiet else ["tuning, round 1", "tuning, round 2", "finals"])


def test_a_file_that_takes_long_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends by itself once the line has been printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Beat.__init__, "__defaults__", (0.001,))
    Path("slow.py").write_text("import sys\nwhile 'slow.py is being read' not in sys.stdout.getvalue(): pass\n")
    written = io.StringIO()
    monkeypatch.setattr("sys.stdout", written)
    with pytest.raises(SystemExit):
        app(["race", "slow.py"])
    assert "slow.py is being read" in written.getvalue()
