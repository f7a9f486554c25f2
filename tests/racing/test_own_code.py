"""Which files are the user's, and what of them belongs to a function or a class."""

from __future__ import annotations

import functools
import importlib
import linecache
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fallline.racing.storage.own_code import is_installed, own_code
from fallline.racing.storage.written import written

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


SCRIPT = """
import sys
from torch import nn
from fallline.racing.storage.own_code import own_code
class Net(nn.Module):
    pass
print(sys.prefix == sys.base_prefix, len(own_code([Net, nn.Linear])))
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
    assert done.stdout.split() == ["True", "1"], done.stderr


FILE = """
import os
import helper
from inside.one import first

FACTOR = 2.0
SEEDS = [1, 2]

class Above:
    pass

class Net(Above):
    def forward(self, x):
        return scaled(x) + helper.shift()

def scaled(x):
    return FACTOR * x * first()

@staticmethod
def decorated(x):
    return [made(x) for made in (lambda y: y + FACTOR,)]

def other():
    return SEEDS

def main():
    loss = lambda output, target: scaled(output - target)
    race(Net, loss, seeds=30)
    return loss

def race(*given, **options):
    pass
"""
BESIDE = {
    "helper.py": "def shift():\n    return 1.0\n",
    "inside/__init__.py": "",
    "inside/one.py": "from .two import second\ndef first():\n    return second()\n",
    "inside/two.py": "def second():\n    return 3\n",
    "bystander.py": "A = 1",
}


def read(folder: Path, monkeypatch: pytest.MonkeyPatch, **files: str) -> dict[str, list[str]]:
    """The own code of each thing of the file."""
    linecache.clearcache()
    for name, text in {"mine.py": FILE, **BESIDE, **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(folder))
        for name in ("mine", "helper", "inside", "inside.one", "inside.two"):
            patch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
        mine = importlib.import_module("mine")
        things = {"Net": mine.Net, "decorated": mine.decorated, "other": mine.other, "loss": mine.main()}
        things |= {"an object": mine.Net(), "a part": functools.partial(mine.scaled, 1), "a method": mine.Net().forward}
        told = {name: written([thing]) for name, thing in things.items()}
        for name in ("mine", "helper", "inside", "inside.one", "inside.two"):
            del sys.modules[name]
    return told


NET = {"Net", "an object", "a method"}
SCALED = {*NET, "loss", "a part"}
ALL = {*SCALED, "decorated", "other"}


@pytest.mark.parametrize(
    ("file", "before", "after", "changed"),
    [
        ("mine.py", "seeds=30", "seeds=60", set()),
        ("mine.py", "FACTOR = 2.0", "FACTOR = 2.0  # by design\n", set()),
        ("mine.py", "FACTOR = 2.0", "FACTOR = 3.0", {*SCALED, "decorated"}),
        ("mine.py", "return FACTOR * x", "return x * FACTOR", SCALED),
        ("mine.py", "SEEDS = [1, 2]", "SEEDS = [1]", {"other"}),
        ("mine.py", "y + FACTOR", "y - FACTOR", {"decorated"}),
        ("mine.py", "class Above:\n    pass", "class Above:\n    eps = 1", NET),
        ("mine.py", "scaled(output - target)", "scaled(output + target)", {"loss"}),
        ("helper.py", "1.0", "2.0", ALL),
        ("inside/two.py", "3", "4", ALL),
        ("inside/two.py", "return 3", "return 3  # three", set()),
        ("bystander.py", "1", "2", set()),
    ],
)
def test_what_belongs_to_a_thing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, before: str, after: str, changed: set[str]
) -> None:
    texts = {"mine.py": FILE, **BESIDE}
    assert before in texts[file]
    there = read(tmp_path / "there", monkeypatch)
    here = read(tmp_path / "here", monkeypatch, **{file: texts[file].replace(before, after)})
    assert all(there.values())
    assert {name for name in there if there[name] != here[name]} == changed


@pytest.mark.parametrize("thing", [torch.nn.Linear, torch.optim.SGD, len, 3, None, np.add, torch.nn.Linear(1, 1)])
def test_what_is_installed_has_no_code_of_the_users(thing: object) -> None:
    assert own_code([thing]) == []


#: Ways to come by a number, and programs that end with a function that reads it.
NUMBERS = {
    "a global": "A = {0}\ndef f(x): return A * x",
    "under a condition": "if True:\n    A = {0}\ndef f(x): return A * x",
    "in a loop": "for A in ({0},): pass\ndef f(x): return A * x",
    "an attribute of a class": "class C: a = 0\nC.a = {0}\ndef f(x): return C.a * x",
    "an attribute of an object": "class C: pass\nc = C()\nc.a = {0}\ndef f(x): return c.a * x",
    "a property": "class C:\n    @property\n    def a(self): return {0}\nc = C()\ndef f(x): return c.a * x",
    "an entry": "C = dict()\nC['a'] = {0}\ndef f(x): return C['a'] * x",
    "an entry of a list in it": "C = dict(a=[1])\nC['a'].append({0})\ndef f(x): return C['a'] * x",
    "an updated one": "C = dict()\nC.update(a={0})\ndef f(x): return C['a'] * x",
    "a closure": "def make(a):\n    return lambda x: a * x\nf = make({0})",
    "a closure's closure": "def make(a):\n    g = lambda x: a * x\n    return lambda x: g(x)\nf = make({0})",
    "a default": "def f(x, a={0}): return a * x",
    "a keyword's default": "def f(x, *, a={0}): return a * x",
    "a part": "import functools\ndef g(x, a): return a * x\nf = functools.partial(g, a={0})",
    "a cached function's": "import functools\nA = {0}\n@functools.cache\ndef g(): return A\ndef f(x): return g() * x",
    "a vectorised function's": "import numpy as np\nA = {0}\ng = np.vectorize(lambda x: A * x)\ndef f(x): return g(x)",
    "a slot": "class C:\n    __slots__ = ('a',)\nc = C()\nc.a = {0}\ndef f(x): return c.a * x",
    "a named tuple's": "from collections import namedtuple\nc = namedtuple('C', 'a')({0})\ndef f(x): return c.a * x",
    "an enumeration's": "import enum\nclass C(enum.Enum):\n    A = {0}\nc = C.A\ndef f(x): return c.value * x",
    "a data class's": "from dataclasses import dataclass\n@dataclass\nclass C:\n    a: float = {0}\nc = C()\n"
    "def f(x): return c.a * x",
    "a tensor": "import torch\nA = torch.tensor([1.0, {0}])\ndef f(x): return A * x",
    "an array": "import numpy as np\nA = np.array([1.0, {0}])\ndef f(x): return A * x",
    "another function's": "A = {0}\ndef g(x): return A * x\ndef f(x): return g(x)",
    "an inner function's": "A = {0}\ndef f(x):\n    def g(x): return A * x\n    return g(x)",
    "a method's": "A = {0}\nclass C:\n    def __call__(self, x): return A * x\nf = C()",
    "a class above's": "class B:\n    a = {0}\nclass C(B): pass\nf = C",
    "a module's weights": "import torch\nteacher = torch.nn.Linear(1, 1)\nteacher.weight.data.fill_({0})\n"
    "def f(x): return teacher(x)",
    "a loss's option": "import torch\nf = torch.nn.CrossEntropyLoss(label_smoothing={0} / 10)",
    "a choice among functions": "F = [lambda x: x, lambda x: {0} * x]\ndef f(x): return F[1](x)",
}


def typed(text: str) -> Any:
    """What a program without a file ends with, as in a plain prompt."""
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(text, "<cell>", "exec"), names)
    return names["f"]


@pytest.mark.parametrize("text", NUMBERS.values(), ids=NUMBERS)
def test_a_number_that_is_read_is_told(text: str) -> None:
    torch.manual_seed(0)
    first = written([typed(text.format(1))])
    torch.manual_seed(0)
    again = written([typed(text.format(1))])
    torch.manual_seed(0)
    assert first == again != written([typed(text.format(2))])


def test_what_can_not_be_read_is_told_by_its_type() -> None:
    lock, stream = threading.Lock(), (number for number in range(3))

    def guarded(x: float) -> float:
        with lock:
            return x * next(stream)

    told = written([guarded])
    assert {"lock lock", "stream generator"} <= set(told)
    assert told == written([guarded])


def test_what_refers_to_itself_comes_to_an_end() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert written([lambda: loop]) == written([lambda: loop])


def test_what_was_typed_into_a_prompt_is_told_by_its_bytecode() -> None:
    one, same, other = (own_code([typed(f"def f(x):\n    return {body}")]) for body in ("x + 1", "x  +  1", "x - 1"))
    assert one == same != other
