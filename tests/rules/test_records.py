"""The record of each rule: complete, true to its formula, and all that a new rule takes."""

from __future__ import annotations

import inspect
import math
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import fallline as fl
from fallline import rules
from fallline.rules import Record

SENTENCES: dict[str, Any] = {"year": 2024, "source": "Somebody, Somewhere", "use": "Here.", "weakness": "There."}
ROOT = Path(__file__).parents[2]


@fl.rule
def strange(p: Any, g: Any, *, lr: float = 0.1, kick: float = 1.0) -> Any:
    return lr * kick * g


@pytest.mark.parametrize("missing", ["lr", "year", "source", "use", "weakness"])
def test_a_record_that_lacks_something_is_refused(missing: str) -> None:
    given: dict[str, Any] = {**SENTENCES, "lr": rules.PLAIN, "limits": {"kick": rules.Interval(0, 1)}}
    Record(strange, **given)
    with pytest.raises(TypeError, match=missing):
        Record(strange, **{name: value for name, value in given.items() if name != missing})


def _of_strange(**other: Any) -> Record:
    given = {**SENTENCES, "lr": rules.PLAIN, "limits": {"kick": rules.Interval(0, 1)}, **other}
    return Record(strange, **given)


REFUSED: dict[str, tuple[Callable[[], Record], str]] = {
    "no source": (lambda: _of_strange(source=" "), "lacks its source"),
    "no limits": (lambda: Record(strange, lr=rules.PLAIN, **SENTENCES), "does not say what 'kick' may be"),
    "aliases in a text": (lambda: _of_strange(aliases="odd"), "names in a tuple"),
    "a space of nothing": (lambda: _of_strange(spaces={"kik": (0.1, 1.0)}), "name 'kik'; did you mean 'kick'"),
    "limits of nothing": (lambda: _of_strange(limits={"kik": rules.Interval(0, 1)}), "name 'kik'; did you mean 'kick'"),
    "limits in a tuple": (lambda: _of_strange(limits={"kick": (0, 1)}), "must be an Interval"),
    "a moment of no state": (lambda: _of_strange(moments={"m": rules.Moment(rules.AVERAGE, "kick")}), "name 'm'"),
    "a range upside down": (lambda: _of_strange(lr=(0.1, 1e-3)), "no range for lr"),
    "a range in a word": (lambda: _of_strange(lr="fast"), "no range for lr"),
    "a class of two words": (lambda: _of_strange(class_name="odd one"), "name of one word"),
    "no name": (lambda: Record(rules.l2(rules.adam), lr=rules.PLAIN, **SENTENCES), "needs a name of one word"),
}


@pytest.mark.parametrize(("made", "words"), REFUSED.values(), ids=REFUSED)
def test_refusals_name_what_is_missing(made: Callable[[], Record], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        made()


ZEBRA = """
from fallline.rules.record import PLAIN, Record
from fallline.symbolic import rule

@rule
def zebra(p, g, *, lr=0.1):
    "A rule."
    return lr * g

RECORDS = [Record(zebra, year=2024, source="S", lr=PLAIN, use="U", weakness="W", {})]
"""
TAKEN = {
    'class_name="Adam"': "takes the name 'Adam', which is of the record of 'adam'",
    'aliases=("sgd",)': "takes the name 'sgd'",
    'name="l2"': "takes the name 'l2', which is a combinator",
    'name="find"': "takes the name 'find', which is a function of fallline.rules",
    'conventions=("zebrra",)': "name 'zebrra'; did you mean 'zebra'",
}


@pytest.mark.parametrize("given", TAKEN)
def test_a_record_takes_no_name_that_is_taken(given: str, tmp_path: Path) -> None:
    (tmp_path / "zebra.py").write_text(ZEBRA.replace("{}", given), "utf-8")
    script = (
        "import pkgutil, fallline.symbolic, importlib.util, sys; "
        "spec = importlib.util.find_spec('fallline.rules'); "
        f"module = importlib.util.module_from_spec(spec); module.__path__.append({str(tmp_path)!r}); "
        "sys.modules['fallline.rules'] = module; spec.loader.exec_module(module)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert TAKEN[given] in done.stderr


@pytest.mark.parametrize("record", rules.RECORDS.values(), ids=rules.RECORDS)
def test_a_record_speaks_of_its_rule(record: Record) -> None:
    rule = record.rule
    numbers = {name: value for name, value in rule.hyperparameters.items() if name not in rule.static}
    assert {*record.limits, *record.spaces} <= numbers.keys()
    assert record.moments.keys() <= {state.name for state in rule.states}
    assert {moment.decay for moment in record.moments.values()} <= numbers.keys()
    assert not record.conventions or record.name in record.conventions
    assert {*record.conventions} <= rules.RECORDS.keys()
    assert record.lr[0] <= float(numbers["lr"] or math.nan) <= record.lr[1]
    assert record.surface_lrs[0] <= record.surface_lr <= record.surface_lrs[1]
    for name, value in numbers.items():
        interval = record.interval(name)
        assert interval is not None
        assert interval.unmet(float(value or 0.0)) is None
    assert 1900 < record.year < 2100
    file = inspect.getmodule(rule.parts[-1][0].function)  # type: ignore[attr-defined]
    assert str(record.year) in f"{rule.__doc__} {inspect.getdoc(file)}"
    assert record.rule is rules.find(record.name) is getattr(rules, record.name)
    assert all(rules.find(alias) is record.rule for alias in record.aliases)
    if record.twin is not None:
        assert record.twin.options.keys() <= inspect.signature(getattr(torch.optim, record.twin.name)).parameters.keys()


def test_every_place_in_a_default_race_is_taken_once() -> None:
    places = sorted(record.default_arm for record in rules.RECORDS.values() if record.default_arm is not None)
    assert places == list(range(1, len(places) + 1))
    assert list(rules.DEFAULT_ARMS) == [
        "sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "adam", "adamw", "adamax", "nadam", "radam",
        "adamp",
    ]  # fmt: skip


def test_type_checkers_and_editors_read_the_same_names() -> None:
    stubs = runpy.run_path(str(ROOT / "tools" / "stubs.py"))["stubs"]()
    stale = [str(path) for path, text in stubs.items() if path.read_text() != text]
    assert not stale, "run `python tools/stubs.py`"


RPROP = '''
"""Rprop (Riedmiller and Braun, 1993)."""

from fallline.math import maximum, minimum, sign, where
from fallline.rules.record import ADAPTIVE, POSITIVE, Interval, Record, Twin
from fallline.symbolic import rule, state


@rule
def rprop(p, g, last, size=state(init=lambda lr: lr), *, lr=1e-2, shorter=0.5, longer=1.2):
    """Step by a length of each element's own, which grows while its gradient keeps its sign (Riedmiller, 1993)."""
    agree = g * last
    size = minimum(maximum(size * where(agree > 0, longer, where(agree < 0, shorter, 1.0)), 1e-6), 50.0)
    g = where(agree < 0, 0.0, g)
    return size * sign(g), g, size


RECORDS = [
    Record(
        rprop,
        year=1993,
        source="Riedmiller and Braun, A direct adaptive method for faster backpropagation learning",
        lr=ADAPTIVE,
        use="Full batches.",
        weakness="Noise flips signs, so small batches mislead it.",
        aliases=("resilient",),
        class_name="Resilient",
        twin=Twin("Rprop"),
        spaces={"shorter": (0.1, 0.9, "linear")},
        limits={"shorter": Interval(0, 1), "longer": POSITIVE},
        surface_lr=0.25,
    )
]
'''
#: Run beside a copy of the package that has one file more.
ASKS = """
import contextlib, io, sys
from pathlib import Path
import numpy as np
import torch
import fallline as fl
from fallline import arrays, optim
from fallline.bench import SUBJECTS
from fallline.lab.catalogue import catalogue
from fallline.problems import digits
from fallline.racing.arms.code import torch_code
from fallline.racing.arms.entrants import as_arms

assert Path(fl.__file__).is_relative_to(sys.argv[1]), fl.__file__
from fallline.rules import rprop
assert fl.rules.find("Rprop") is fl.rules.find("resilient") is rprop
assert {"rprop"} <= {*fl.rules.__all__} & {*dir(fl.rules)}
assert "size" in rprop.latex()

def path(make):
    generator = torch.Generator().manual_seed(0)
    p = torch.nn.Parameter(torch.randn(50, generator=generator))
    optimizer = make([p])
    for _ in range(20):
        p.grad = torch.randn(50, generator=generator)
        optimizer.step()
    return p.detach()

theirs = path(lambda params: torch.optim.Rprop(params, lr=0.1))
torch.testing.assert_close(path(lambda params: fl.Optimizer(params, rprop, lr=0.1)), theirs)
held = {"w": np.ones(3)}
arrays.Resilient(lr=0.5).update(held, {"w": np.ones(3)})
assert held["w"].tolist() == [0.5] * 3
try:
    fl.Optimizer([torch.nn.Parameter(torch.ones(1))], rprop, shorter=2.0)
except ValueError as error:
    assert "at least 0 and less than 1" in str(error), error
else:
    raise AssertionError("limits")

(arm,) = as_arms(["resilient"], search=["shorter"])
assert arm.space == {"lr": fl.Range(1e-7, 1.0, open=True), "shorter": fl.Range(0.1, 0.9, "linear")}, arm.space
assert "rprop" in [arm.name for arm in as_arms("all")]
assert "torch.optim.Rprop(model.parameters(), lr=0.1)" in torch_code(arm, {"lr": 0.1, "shorter": 0.5}, digits())

(shown,) = [one for one in catalogue()["rules"] if one["name"] == "rprop"]
assert shown["lr"]["default"] == 0.25 and shown["hyperparameters"]["shorter"]["high"] == 0.9, shown
(subject,) = [one for one in SUBJECTS if one.name == "rprop"]
assert {"for-loop", "foreach"} == subject.variants.keys()
ours, foreach = path(subject.ours), path(lambda params: subject.theirs(params, "foreach"))
torch.testing.assert_close(ours, foreach)

from typer.testing import CliRunner
from fallline.cli.main import app
printed = CliRunner().invoke(app, ["show", "Rprop"]).stdout
assert "Full batches." in printed and "1993" in printed and "mislead" in printed, printed
assert "  rprop " in CliRunner().invoke(app, ["rules"]).stdout
"""


def test_a_new_rule_is_one_file(tmp_path: Path) -> None:
    """The package's copy has one file more, and nothing else; what reads records finds the rule."""
    shutil.copytree(Path(fl.__file__).parent, tmp_path / "fallline", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "fallline" / "rules" / "rprop.py").write_text(RPROP)
    command = [sys.executable, "-c", ASKS, str(tmp_path)]
    environment = {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=600, env={**__import__("os").environ, **environment}
    )
    assert done.returncode == 0, done.stderr
