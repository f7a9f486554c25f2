"""`fallline problems`: every bundled problem with its size, in terminals of any width."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from fallline import problems
from fallline.cli.main import app


def listed(*arguments: str, columns: int) -> str:
    done = CliRunner().invoke(app, ["problems", *arguments], env={"COLUMNS": str(columns)})
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("columns", [80, 140])
def test_every_problem_has_a_row(columns: int) -> None:
    text = listed(columns=columns)
    assert max(map(len, text.splitlines())) <= columns
    rows = [line for line in text.splitlines() if line.partition(" ")[0] in problems.ALL]
    assert [row.partition(" ")[0] for row in rows] == list(problems.ALL)
    words = " ".join(text.split())
    for told in (
        "1,078 / 359 / 360 examples, 2,410 weights, 340 steps of 64, accuracy",
        "265 / 88 / 89 examples, 11 weights, 360 steps of 32, mean_squared_error 0.56",
        "no data, 2 weights, 150 steps, height 0.0643",
    ):
        assert told in words


def test_help_needs_no_torch() -> None:
    code = "import sys, fallline.cli.problems; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=600).returncode == 0
    assert "with known minima" in listed("--help", columns=120)
