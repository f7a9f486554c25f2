"""Which files are the user's, and how many of them are read."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fallline.racing.effort import Effort
from fallline.racing.storage import sources
from fallline.racing.storage.fingerprint import TOO_MANY, fingerprint, unknown
from fallline.racing.storage.sources import Sources, is_installed
from tests.racing.test_endings import Notes, problem, run

#: Files of a folder on `sys.path`, and whether each is installed.
FOLDER = {
    # As `pip install --target` leaves it.
    "big-1.0.dist-info/RECORD": ("big/__init__.py,sha256=1,2\nbig/deep/one.py,,\nsingle.py,,\n../../bin/big,,\n", None),
    "big/__init__.py": ("", True),
    "big/deep/one.py": ("", True),
    "single.py": ("", True),
    # An older installer's list, relative to itself.
    "old-1.0.egg-info/installed-files.txt": ("../old/__init__.py\nPKG-INFO\n", None),
    "old/__init__.py": ("", True),
    # A tree that its author works on: installed for editing, or by `setup.py develop`.
    "editing-1.0.dist-info/RECORD": ("__editable__.editing-1.0.pth,,\n", None),
    "editing/__init__.py": ("", False),
    "developed.egg-info/SOURCES.txt": ("developed/__init__.py\n", None),
    "developed/__init__.py": ("", False),
    # What a person has beside all that.
    "problem.py": ("", False),
    "big_problem.py": ("", False),
    # A module system's tree, an environment within the project, Debian's own.
    "apps/torch/lib/python3.11/site-packages/torch/nn.py": ("", True),
    "usr/lib/python3/dist-packages/numpy/core.py": ("", True),
}


@pytest.mark.parametrize("linked", [False, True], ids=["folder", "link"])
def test_what_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linked: bool) -> None:
    there = tmp_path / "there"
    for name, (text, _) in FOLDER.items():
        (there / name).parent.mkdir(parents=True, exist_ok=True)
        (there / name).write_text(text)
    entry = there
    if linked:
        entry = tmp_path / "link"
        entry.symlink_to(there)
    monkeypatch.syspath_prepend(str(entry))
    found = {name: is_installed(str(entry / name)) for name, (_, wanted) in FOLDER.items() if wanted is not None}
    assert found == {name: wanted for name, (_, wanted) in FOLDER.items() if wanted is not None}


@pytest.mark.parametrize("name", ["json", "torch", "numpy", "fallline", "sklearn", "os", "encodings.utf_8"])
def test_what_python_and_its_packages_are(name: str) -> None:
    file = importlib.import_module(name).__file__
    assert file is not None
    assert is_installed(file)


CHAIN = 30


@pytest.fixture
def chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The first of some modules, each of which imports the next two."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for number in range(CHAIN):
        (tmp_path / f"chain_{number}.py").write_text(f"import chain_{number + 1}, chain_{number + 2}\nA = {number}\n")
    return str(tmp_path / "chain_0.py")


def test_all_that_is_imported_is_read_once(chain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    reader, real = Sources(), sources._read

    def reading(file: str, changed: int) -> tuple[str, tuple[str, ...]]:
        read.append(file)
        return real(file, changed)

    monkeypatch.setattr(sources, "_read", reading)
    assert len(reader.of([chain])) == CHAIN
    assert len(reader.of([chain.replace("chain_0", "chain_5")])) == CHAIN - 5
    assert len(read) == CHAIN


@pytest.mark.parametrize(("bound", "value"), [("_MOST_FILES", 10), ("_MOST_BYTES", 200), ("_MOST_SECONDS", -1.0)])
def test_the_walk_is_bounded(chain: str, monkeypatch: pytest.MonkeyPatch, bound: str, value: float) -> None:
    monkeypatch.setattr(sources, bound, value)
    reader = Sources()
    assert reader.of([chain]) == []
    assert reader.too_many
    assert reader.of([__file__]) == []


def test_a_race_says_that_it_was_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole: list[str] = []
    cut: list[str] = []
    run(tmp_path / "whole.db", watcher=Notes(whole))
    monkeypatch.setattr(sources, "_MOST_FILES", 0)
    run(tmp_path / "cut.db", watcher=Notes(cut))
    assert whole[0] == cut[0] == "Checking the problem and 2 arms."
    assert [line for line in cut if line not in whole and "source files" in line] == [
        "The problem imports more source files than are read, so only its name takes this race up again."
    ]
    told = fingerprint(problem(), (), Effort(4, 2, 3), 0, {})
    assert unknown(told) == [TOO_MANY]
    monkeypatch.setattr(sources, "_MOST_FILES", 10)
    monkeypatch.setattr(sources, "_MOST_BYTES", 1)  # wherever it is cut, what is told is the same
    assert fingerprint(problem(), (), Effort(4, 2, 3), 0, {}) == told


SCRIPT = """
import sys
import torch
from torch import nn
import fallline as fl
from fallline.racing.effort import Effort
from fallline.racing.effort import Effort
from fallline.racing.storage import sources
from fallline.racing.storage.fingerprint import fingerprint
X = torch.ones(8, 2)
problem = fl.Problem(
    model=lambda: nn.Linear(2, 1), loss=lambda output, y: nn.functional.mse_loss(output, y), train=(X, X[:, :1]),
    valid=(X, X[:, :1]), batch=4,
)
read = []
real = sources._read
sources._read = lambda file, changed: (read.append(file), real(file, changed))[1]
fingerprint(problem, (), Effort(4, 2, 3), 0, {})
print(sys.prefix == sys.base_prefix, *sorted(set(read)))
"""


@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="needs an environment whose packages lie apart from Python")
def test_packages_on_the_python_path_are_installed(tmp_path: Path) -> None:
    """The base interpreter, which has no packages of its own, given them by PYTHONPATH."""
    script = tmp_path / "mine.py"
    script.write_text(SCRIPT)
    base: str = getattr(sys, "_base_executable", sys.executable)
    done = subprocess.run(
        [base, script], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert done.stdout.split() == ["True", str(script)], done.stderr
