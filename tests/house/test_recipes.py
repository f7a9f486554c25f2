"""Each recipe of ARCHITECTURE.md, followed on a copy of the source, and the files that it names."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fallline

ROOT = Path(__file__).parents[2]
SOURCE = Path(fallline.__file__).parent
TEXT = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
#: By what each adds, the last word before its heading's colon.
RECIPES = {part.split(":")[0].split()[-1]: part for part in re.split(r"^### ", TEXT, flags=re.M)[1:]}
_BLOCK = re.compile(r"^```python\n# src/fallline/(\S+?)(?:, below `(.+)`)?\n(.*?)^```$", re.M | re.S)

#: What shows that a recipe did what it says, in a process that has the changed copy.
CHECKS = {
    "rule": """
import fallline as fl, torch
from fallline import arrays, optim, rules
from fallline.racing.arms import as_arms
p = torch.nn.Parameter(torch.zeros(3))
p.grad = torch.tensor([2.0, -3.0, 0.0])
optim.Signum([p], lr=0.5).step()
assert p.tolist() == [-0.5, 0.5, 0.0], p
assert rules.find("Signum") is rules.signum and arrays.Signum
assert as_arms(["signum"])[0].space["lr"] == fl.Range(1e-7, 1.0, open=True)
""",
    "operation": """
import fallline as fl, math, numpy as np, torch
from fallline.math import tanh
@fl.rule
def bent(p, g, *, lr=1.0):
    return lr * tanh(g)
p = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
p.grad = torch.tensor([0.5, -2.0], dtype=torch.float64)
fl.Optimizer([p], bent, lr=1.0).step()
assert np.allclose(p.detach(), [-math.tanh(0.5), math.tanh(2.0)], rtol=1e-15)
assert "tanh" in bent.latex() and tanh(0.5) == math.tanh(0.5)
""",
    "backend": """
import numpy as np
from fallline.kernels import evaluate, host_scalars
from fallline.kernels.plain import step
from fallline.rules import adam
from fallline.symbolic import make_plan
drawn = np.random.default_rng(0)
tensors = {name: drawn.normal(size=5) for name in ("p", "g", "m", "v")}
plan, numbers = make_plan(adam.trace()), {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "t": 3.0}
given = [numbers[name] for name in host_scalars(plan).names]
update, states = evaluate(plan, {**tensors, "v": tensors["v"] ** 2}, host_scalars(plan).values(*given))
ours = step(adam, {**tensors, "v": tensors["v"] ** 2}, *given)
assert np.allclose(ours, [update, states["m"], states["v"]], rtol=1e-15)
""",
    "problem": """
import subprocess, sys
from fallline import problems
assert "wine" in problems.REAL and problems.find("Wine").make(epochs=2).check() is None
listed = subprocess.run([sys.executable, "-m", "fallline", "problems"], capture_output=True, text=True).stdout
assert "Three kinds of wine" in listed
""",
    "chart": """
import sys
from pathlib import Path
import fallline as fl
from fallline.problems import digits
result = fl.race(digits(epochs=1), ["sgd", "adam"], fl.Effort(trials=2, finalists=1, seeds=2), storage=None)
result.figure("diverged").write("diverged.svg")
result.report("race.html")
assert "Diverged trials" in Path("race.html").read_text("utf-8") and Path("diverged.svg").stat().st_size > 1000
""",
}


def _follow(recipe: str, copy: Path) -> None:
    blocks = _BLOCK.findall(recipe)
    assert blocks
    for name, below, code in blocks:
        path = copy / name
        if not below:
            assert not path.exists(), f"{name} is there already"
            path.write_text(code, "utf-8")
            continue
        lines = path.read_text("utf-8").splitlines(keepends=True)
        places = [i for i, line in enumerate(lines) if line.startswith(below)]
        assert places, f"{name} has no line that begins with `{below}`"
        lines.insert(places[-1] + 1, code)
        path.write_text("".join(lines), "utf-8")


def test_there_is_a_check_for_each_recipe() -> None:
    assert set(RECIPES) == set(CHECKS)


@pytest.mark.parametrize("name", CHECKS)
def test_recipe(name: str, tmp_path: Path) -> None:
    copy = tmp_path / "source" / "fallline"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    _follow(RECIPES[name], copy)
    environment = {**os.environ, "PYTHONPATH": str(copy.parent)}
    work = tmp_path / "work"
    work.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", CHECKS[name]], cwd=work, env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_every_file_that_is_named_is_there() -> None:
    prose = re.sub(r"```.*?```", "", TEXT, flags=re.S)
    named = set(re.findall(r"`((?:[a-z_]+/)+(?:[a-z_]+\.py)?)`", prose))
    assert len(named) > 40
    missing = [name for name in sorted(named) if not (SOURCE / name).exists() and not (ROOT / name).exists()]
    assert not missing


@pytest.mark.parametrize(("place", "name"), re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.py)`, `([A-Za-z_.]+)`", TEXT))
def test_what_a_file_is_said_to_hold_is_there(place: str, name: str) -> None:
    text = (SOURCE / place).read_text("utf-8")
    for part in name.split("."):
        assert re.search(rf"^\s*(class|def) {part}\b", text, re.M), f"{place} has no {part}"


def test_every_room_is_on_the_picture() -> None:
    picture = TEXT.split("```")[1]
    rooms = {path.name for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms <= set(re.findall(r"\w+", picture))
