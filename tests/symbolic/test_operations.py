"""The table of operations: a record holds every form, and one line adds an operation everywhere."""

from __future__ import annotations

import inspect
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import fallline
import fallline.math
from fallline.symbolic import OPERATIONS, Operation

SQRT = OPERATIONS["sqrt"]
FORMS = ("compute", "numba", "numpy", "torch", "latex")


@pytest.mark.parametrize("form", FORMS)
def test_a_record_without_a_form_is_refused(form: str) -> None:
    columns: dict[str, Any] = {key: getattr(SQRT, key) for key in ("name", "arguments", "summary", *FORMS)}
    del columns[form]
    with pytest.raises(TypeError, match=form):
        Operation(**columns)


@pytest.mark.parametrize("form", ["python", "numba", "numpy", "torch", "jax", "javascript"])
@pytest.mark.parametrize("written", ["tanh({0}, {1})", "tanh({1})", "{0} + {1}"])
def test_a_source_that_takes_other_arguments_is_refused(form: str, written: str) -> None:
    with pytest.raises(ValueError, match=rf"operation 'sqrt': its source in {form} must take \{{0\}}"):
        replace(SQRT, **{form: written})  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["numba", "numpy", "torch"])
def test_an_empty_source_is_refused(form: str) -> None:
    with pytest.raises(ValueError, match=rf"its source in {form} must take"):
        replace(SQRT, **{form: ""})  # type: ignore[arg-type]


def test_a_function_that_is_not_printed_is_refused() -> None:
    with pytest.raises(ValueError, match="operation 'sqrt': say how it is printed"):
        replace(SQRT, latex="")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"compute": "math.tan"}, "compute must be a function"),
        ({"latex": r"\frac{1}{{0}}"}, "other braces are doubled"),
    ],
)
def test_what_would_fail_later_is_refused(changed: dict[str, Any], words: str) -> None:
    given = {"compute": abs, "numba": "abs", "numpy": "np.abs", "torch": "torch.abs", "latex": r"\operatorname{own}"}
    Operation("own", "x", "Own.", **given)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=f"'own'.*{words}"):
        Operation("own", "x", "Own.", **{**given, **changed})


@pytest.mark.parametrize("operation", [one for one in OPERATIONS.values() if one.summary], ids=lambda one: one.name)
def test_functions_are_made_of_their_records(operation: Operation) -> None:
    function: Any = getattr(fallline.math, operation.name)
    assert list(inspect.signature(function).parameters) == operation.arguments.split()
    assert (inspect.getdoc(function) or "").startswith(f"{operation.summary}\n\nArgs:\n    {operation.arguments[0]}: ")
    assert (function.__module__, function.__qualname__) == ("fallline.math", operation.name)
    with pytest.raises(TypeError, match="argument"):
        function(*[1.0] * (operation.arity + 1))


#: What somebody writes who adds an operation.
LINE = r"""
    Operation("tanh", "x", "In a trial.", math.tanh, "math.tanh", "np.tanh", "torch.tanh", r"\tanh"),
"""
#: Every form of it against the others.
TRIAL = r"""
import inspect, math
import numpy as np, torch
import fallline as fl
import fallline.math
from fallline.math import tanh
from fallline.kernels import evaluate, host_scalars
from fallline.symbolic import make_plan, rests_without_gradient
from tests.kernels.runner import kernel_step

@fl.rule
def tried(p, g, *, lr=0.5):
    return tanh(lr) * tanh(g)

for dtype, tolerance in (("float32", (1e-6, 1e-44)), ("float64", (1e-14, 0))):
    with np.errstate(all="ignore"):
        g = np.array([math.nan, math.inf, -math.inf, 0.0, -0.0, 5e-324, 1e-40, 0.5, -2.0, 1e300], dtype)
    expected = np.tanh(0.5) * np.tanh(g)
    tensors = {"p": np.zeros_like(g), "g": g}
    kernel_step(tried, dtype, [tensors], [{"lr": 0.5}])
    np.testing.assert_allclose(tensors["p"], -expected, *tolerance)
    host = host_scalars(make_plan(tried.trace()))
    for given in ({"p": g, "g": g}, {"p": torch.tensor(g), "g": torch.tensor(g)}):
        update, _ = evaluate(make_plan(tried.trace()), given, host.values(0.5))
        np.testing.assert_allclose(np.asarray(update), expected, *tolerance)
assert float(host.tensors(torch.tensor(0.5))[0]) == host.columns({"lr": 0.5}, 1)[0, 0] == tanh(0.5) == math.tanh(0.5)
assert r"\tanh(g_t)" in tried.latex(), tried.latex()
assert tried.cost().operations == 3
assert rests_without_gradient(tried.trace())
assert "tanh" in fallline.math.__all__ and inspect.getdoc(tanh).startswith("In a trial.")
assert "did you mean 'tanh'?" in fallline.symbolic.instead_of("tanhh")
"""


def test_one_line_adds_an_operation(tmp_path: Path) -> None:
    package = tmp_path / "fallline"
    shutil.copytree(Path(fallline.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    table = package / "symbolic" / "operations.py"
    before = table.read_text(encoding="utf-8")
    place = before.index('    Operation("log", ')
    table.write_text(before[:place] + LINE.lstrip("\n") + before[place:], encoding="utf-8")
    (tmp_path / "trial.py").write_text(TRIAL, encoding="utf-8")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])]),
        "FALLLINE_CACHE_DIR": str(tmp_path / "cache"),
    }
    done = subprocess.run([sys.executable, "trial.py"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
