"""Races of scripts, notebooks and modules, in fresh processes: arms defined in every way there is, and every ending."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

#: What a person writes: rules and classes defined at the top, in functions, by lambdas, `exec` and `type`.
DEFINITIONS = '''
import json, threading
import torch
from torch import nn
import fallline as fl

X = torch.linspace(-1, 1, 240).reshape(60, 4)
Y = X.square().sum(1, keepdim=True)
scale = torch.tensor(0.5)

@fl.rule
def at_top(p, g, *, lr=1e-3):
    return lr * fl.math.sign(g)

@fl.combinator
def halved(rule):
    def step(p, g, *states, **hyperparameters):
        update, *states = rule(p, g, *states, **hyperparameters)
        return 0.5 * update, *states
    return step

class AtTop(torch.optim.SGD):
    pass

def made(factor=0.5):
    @fl.rule
    def in_function(p, g, m, *, lr=1e-3):
        m = factor * m + g
        return lr * m, m
    class InFunction(torch.optim.SGD):
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    p.grad.mul_(scale)
            return super().step(closure)
    return in_function, InFunction

in_function, InFunction = made()
of_lambda = fl.rule(lambda p, g, *, lr=1e-3: lr * g)
there = {"fl": fl, "torch": torch}
exec("""
def of_exec(p, g, *, lr=1e-3): return lr * g
of_exec = fl.rule(of_exec)
class OfExec(torch.optim.SGD): pass
""", there)
Typed = type("Typed", (torch.optim.SGD,), {})

class Loud:
    def __repr__(self):
        raise RuntimeError("no word")

class Told(torch.optim.SGD):
    def __init__(self, params, lr=0.1, note=None):
        super().__init__(params, lr=lr)
'''
#: The race, and all that a result can be asked for; each program is run as it would be pasted.
RACE = """
problem = fl.Problem(
    model=lambda: nn.Linear(4, 1), loss=nn.functional.mse_loss, train=(X[:40], Y[:40]), valid=(X[40:50], Y[40:50]),
    test=(X[50:], Y[50:]), batch=8, epochs=1, name="squares",
)
arms = [
    at_top, "adam", in_function, of_lambda, InFunction, there["of_exec"], there["OfExec"], AtTop, halved(in_function),
    Typed, fl.Arm("decayed", fl.rules.l2(in_function), fixed={"weight_decay": 0.1}),
    fl.Arm.phases("two", [at_top, InFunction]),
    fl.Arm("told", Told, fixed={"note": NOTE}),
]
if __name__ == "__main__":
    result = fl.race(problem, arms[::STEP], fl.Effort(trials=2, finalists=1, seeds=2), training="batched", **HOW)
    once = sum("raced once" in warning for warning in result.warnings)  # some are torch's SGD under names of their own
    assert len(result.arms) + once == len(arms[::STEP])
    texts = [str(result), repr(result), result._repr_html_(), json.dumps(result.to_json(), allow_nan=False)]
    result.write_json("race.json"), result.report("race.html"), result.to_frame(), result.to_tensorboard("curves")
    result.figure("sensitivity").write("sensitivity.svg")
    assert not any("could not be" in text for text in texts), texts[0]
    data = {"train": torch.utils.data.TensorDataset(X[:40], Y[:40]), "loss": nn.functional.mse_loss}
    own = {**globals(), **there, "note": None, **data}
    for arm in result.arms:
        model = problem.build(0)
        exec(arm.code(), {**own, "model": model})
        assert not torch.equal(model.weight, problem.build(0).weight), arm.code()
    print("all done")
"""
#: How Python is given it: by a file, an option, a pipe, a module of a package, and cells as a notebook runs them.
CELLS = (
    "import __main__\n"
    "for number, cell in enumerate(({definitions!r}, {race!r})):\n"
    "    exec(compile(cell, f'<ipython-input-{{number}}>', 'exec'), vars(__main__))\n"
)
HOWS = {
    "nothing kept": {"HOW": "{'storage': None}", "NOTE": "None", "STEP": "1"},
    "kept": {"HOW": "{'storage': 'races.db', 'slices': True}", "NOTE": "Loud()", "STEP": "1"},
    "processes": {"HOW": "{'storage': None, 'workers': 2}", "NOTE": "None", "STEP": "4"},
}


def run(folder: Path, way: str, how: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    race = functools.reduce(lambda text, name: text.replace(name, how[name]), how, RACE)
    whole = DEFINITIONS + race
    (folder / "things").mkdir(exist_ok=True)
    (folder / "things" / "__init__.py").touch()
    (folder / "things" / "mine.py").write_text(whole)
    (folder / "mine.py").write_text(whole)
    command = {
        "file": ["mine.py"], "option": ["-c", whole], "pipe": ["-"], "module": ["-m", "things.mine"],
        "notebook": ["-c", CELLS.format(definitions=DEFINITIONS, race=race)],
    }[way]  # fmt: skip
    return subprocess.run(
        [sys.executable, *command], cwd=folder, input=whole, capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("way", "how"),
    [("file", "kept"), ("notebook", "nothing kept"), ("option", "nothing kept"), ("pipe", "processes"),
     ("module", "processes")],
)  # fmt: skip
def test_arms_of_a_script(tmp_path: Path, way: str, how: str) -> None:
    done = run(tmp_path, way, HOWS[how])
    assert done.stdout.endswith("all done\n"), done.stderr
    assert "Traceback" not in done.stderr
