"""Where the user's own code failed: the file, the line and what stands there, wherever in a race that was."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fallline.cli.main import app

#: A problem whose parts each case replaces one of; what fails has the comment `# here` in its line.
PROBLEM = """
import torch, fallline as fl
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset
torch.manual_seed(0)
X = torch.randn(60, 3); y = X.sum(1, keepdim=True)
train = (X[:40], y[:40])
model = lambda: nn.Linear(3, 1)
loss = nn.functional.mse_loss
more = {}
# the case
problem = fl.Problem(model=model, loss=loss, train=train, valid=(X[40:50], y[40:50]), test=(X[50:], y[50:]),
                     batch=8, epochs=2, **more)
"""
IMPORTED = "def shape(x):\n    return x['shape']  # here\n"
AFTER_A_WHILE = """
calls = 0
class Net(nn.Linear):
    def forward(self, x):
        global calls
        calls += 1
        if calls > 60:
            raise {error}  # here
        return super().forward(x)
model = lambda: Net(3, 1)
"""
CASES = {
    "a syntax error": "x = (1 +  # here\n",
    "a module that is not there": "import nowhere_at_all  # here",
    "sys.exit": "import sys; sys.exit(3)  # here",
    "a missing key": "{}['x']  # here",
    "a syntax error in a file beside it": "import broken_beside",
    "a file beside it": "import beside; beside.shape({})",
    "an argument": "fl.Problem(model=model, loss=loss, train=(X, y[:3]))  # here",
    "building the model": "def model():\n    return nn.Linear(3, 1).nothing  # here",
    "a layer of the wrong width": (
        "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.a = nn.Linear(4, 1)\n"
        "    def forward(self, x):\n        return self.a(x)  # here\nmodel = Net"
    ),
    "the loss": "def loss(output, y):\n    return output.nothing  # here",
    "the loss, by a file beside it": "import beside\ndef loss(output, y):\n    return beside.shape({})",
    "the step": (
        "loss = None\ndef step(model, x, y):\n    return model(x).mean() / {}['x']  # here\nmore = {'step': step}"
    ),
    "the backward pass": (
        "class Twice(torch.autograd.Function):\n"
        "    @staticmethod\n    def forward(context, x):\n        return 2 * x\n"
        "    @staticmethod\n    def backward(context, gradient):\n        raise ValueError('no way back')  # here\n"
        "loss = lambda output, y: Twice.apply(output).mean()"
    ),
    "the metric": (
        "def metric(output, y):\n    raise KeyError('hits')  # here\nmore = {'metric': fl.Metric('hits', metric, True)}"
    ),
    "an error behind another": (
        "def loss(output, y):\n    try:\n        {}['x']\n    except KeyError as error:\n"
        "        raise ValueError('no x') from error  # here"
    ),
    "a Dataset": (
        "class Data(Dataset):\n    def __len__(self):\n        return 40\n"
        "    def __getitem__(self, i):\n        return X[i], y[i + 30]  # here\ntrain = Data()"
    ),
    "a Dataset in a DataLoader's worker": (
        "class Data(IterableDataset):\n    def __iter__(self):\n        yield X[0], y[0]\n"
        "        raise ValueError('torn')  # here\n"
        "train = DataLoader(Data(), batch_size=4, num_workers=1)"
    ),
    "a rule as it is traced": "@fl.rule\ndef lost(p, g, *, lr=0.1):\n    return lr * g if g > 0 else g  # here",
    "in mid-race, a ValueError": AFTER_A_WHILE.format(error="ValueError('torn')"),
    "in mid-race, a TypeError": AFTER_A_WHILE.format(error="TypeError('torn')"),
    "in mid-race, a RuntimeError": AFTER_A_WHILE.format(error="RuntimeError('torn')"),
    "in mid-race, sys.exit": AFTER_A_WHILE.format(error="SystemExit(3)"),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in {"mine", "beside", "broken_beside"} - before:
        sys.modules.pop(name, None)


def race(case: str, *options: str) -> Result:
    Path("mine.py").write_text(PROBLEM.replace("# the case", case))
    Path("beside.py").write_text(IMPORTED)
    Path("broken_beside.py").write_text("x = (1 +  # here\n")
    asked = ["race", "mine.py", "--arms", "sgd", "--effort", "quick", "--no-report", "--training", "in turn", "--quiet"]
    return CliRunner().invoke(app, [*asked, *options], env={"COLUMNS": "160"})


def place(case: str) -> tuple[str, str]:
    """The line that fails, as the command tells it, and what stands there."""
    name = "broken_beside.py" if "broken" in case else "mine.py" if "# here" in case else "beside.py"
    lines = Path(name).read_text().splitlines()
    ((number, line),) = ((i, line) for i, line in enumerate(lines, 1) if "# here" in line)
    return f"{name}, line {number}", line.strip()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_file_line_and_source(folder: Path, case: str) -> None:
    done = race(case)
    at, source = place(case)
    assert done.exit_code in (1, 2), done.output
    assert at in done.stderr
    assert source in done.stderr
    assert "--traceback shows" in done.stderr
    assert "Traceback (most recent" not in done.stderr


@pytest.mark.parametrize("case", ["a missing key", "the loss", "in mid-race, a TypeError"])
def test_the_whole_traceback(folder: Path, case: str) -> None:
    done = race(CASES[case], "--traceback")
    assert "Traceback (most recent call last)" in done.stderr
    assert "fallline: " in done.stderr
    assert "--traceback shows" not in done.stderr


@pytest.mark.parametrize("error", ["ValueError('torn')", "Torn(1, 2)"])
def test_in_a_worker(folder: Path, error: str) -> None:
    """Also where the error can't be sent as it is."""
    torn = "class Torn(Exception):\n    def __init__(self, a, b):\n        super().__init__('torn')\n"
    here = "import os; HERE = os.getpid()\n" + torn + "calls = 0"
    case = AFTER_A_WHILE.format(error=error).replace("calls > 60", "os.getpid() != HERE").replace("calls = 0", here)
    done = race(case, "--workers", "2")
    at, source = place(case)
    assert [words for words in (at, source, "torn", "in mid-race") if words not in done.stderr] == [], done.output
    assert done.exit_code == 1


def test_a_file_that_is_not_found(folder: Path) -> None:
    """It lies beside the problem, which is raced from another folder; or nowhere."""
    (folder / "task").mkdir()
    (folder / "task" / "data.csv").touch()
    asked = ["race", "task/mine.py"]
    for opened, hint in (
        ("open('data.csv')", "data.csv lies beside task/mine.py, but a relative path is looked for in the current"),
        ("import numpy; numpy.loadtxt('data.csv')", "write Path(__file__).parent / 'data.csv', or start from"),
        ("open('other.csv')", f"A relative path is looked for in the current folder, {folder}."),
    ):
        (folder / "task" / "mine.py").write_text(opened)
        told = CliRunner().invoke(app, asked)
        assert told.exit_code == 2
        assert hint in told.stderr
    (folder / "task" / "mine.py").write_text("open('/no/such/file')")
    assert "relative path" not in CliRunner().invoke(app, asked).stderr
