"""Problems and jobs that the tests of all engines train; what they define travels by value, as a user's script does."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fallline as fl
from fallline import rules
from fallline.problems import digits
from fallline.racing.engines.engine import Engine, LocalEngine
from fallline.racing.runs import Outcome, Progress, Run, Work
from fallline.training import Problem, ProblemError
from fallline.training.updates import LaneRule

_generator = torch.Generator().manual_seed(0)
X = torch.randn(64, 4, generator=_generator)
Y = (X @ torch.tensor([1.0, -2.0, 0.5, 0.0]))[:, None]


def regression(model: Callable[[], nn.Module] = lambda: nn.Linear(4, 1), **changes: Any) -> Problem:
    given: dict[str, Any] = {
        "loss": nn.functional.mse_loss,
        "train": (X[:32], Y[:32]),
        "valid": (X[32:48], Y[32:48]),
        "test": (X[48:], Y[48:]),
        "metric": fl.Metric("largest_error", lambda output, y: (output - y).abs().max(), higher_is_better=False),
        "batch": 8,
        "epochs": 2,
        "name": "regression",
    }
    return Problem(model=model, **{**given, **changes})


def branching() -> Problem:
    class Branching(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            output = super().forward(input)
            return output if output.sum() > 0 else 2 * output

    return regression(lambda: Branching(4, 1))


def own_rule() -> Any:
    @fl.rule
    def half_speed(p, g, m, *, lr=0.1):  # type: ignore[no-untyped-def]
        m = 0.5 * m + g
        return 0.5 * lr * m, m

    return half_speed


def work_of(
    problem: Problem,
    *,
    batched: bool = True,
    number: int = 2,
    width: int = 6,
    seconds: float = 1e-9,
    wanted: Callable[[list[int]], list[int]] = lambda numbers: numbers,
) -> Work:
    """Six runs for each of so many seeds: of a rule of the package, the user's own and a torch class; some diverge.

    By the seconds of a step that are given, jobs are as wide as they may be, or, where these are many, of one run.
    """
    rates = {rules.adam: 0.01, own_rule(): 0.1, torch.optim.Adagrad: 0.1}
    runs = []
    for turn in range(number):
        for rule, rate in rates.items():
            for lr in (rate, 1e30 if turn else rate / 2):
                name = getattr(rule, "name", "Adagrad")
                values = {**getattr(rule, "defaults", {}), "lr": lr}
                runs.append(Run(name, {"lr": lr}, 7 + turn, LaneRule(rule, values), problem.batch, problem.steps))
    return Work(dict(enumerate(runs)), batched, True, width, seconds, wanted)


#: Each problem with whether its runs are batched.
PROBLEMS: dict[str, tuple[Callable[[], Problem], bool]] = {
    "digits": (lambda: digits(epochs=1), True),
    "a regression of lambdas": (regression, True),
    "a model that branches on its data": (branching, False),
}


def assert_trains_as_here(engine: Engine, problem: Problem, work: Work) -> None:
    """Same outcomes as training in this process, bit for bit, and `tell` ends at all run-steps."""
    told: list[Progress] = []
    found = outcomes_of(engine.train(problem, work, told.append))
    expected = outcomes_of(LocalEngine().train(problem, replace(work, width=len(work.runs)), lambda progress: None))
    assert found.keys() == expected.keys() == work.runs.keys()
    for number, outcome in expected.items():
        assert_equal(found[number], outcome)
    assert told[-1].steps == sum(run.steps for run in work.runs.values())
    assert told[-1].busy > 0


def outcomes_of(parts: Iterable[tuple[list[int], list[Outcome]]]) -> dict[int, Outcome]:
    """By number; none comes twice."""
    found: dict[int, Outcome] = {}
    for numbers, outcomes in parts:
        assert found.keys().isdisjoint(numbers)
        found.update(zip(numbers, outcomes, strict=True))
    return found


def assert_equal(one: Outcome, other: Outcome) -> None:
    for name, value in vars(other).items():
        np.testing.assert_array_equal(getattr(one, name), value, err_msg=name)


def in_workers(act: Callable[[], object], **changes: Any) -> Problem:
    """A regression whose model, wherever it is built but in this process, begins with an act."""
    here = os.getpid()

    def model() -> nn.Module:
        if os.getpid() != here:
            act()
        return nn.Linear(4, 1)

    return regression(model, **changes)


def killed_once(marks: Path) -> Problem:
    """Its first worker dies."""

    def die() -> None:
        try:
            (marks / "died").touch(exist_ok=False)
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)

    return in_workers(die)


def killed_by(seed: int) -> Problem:
    """Every worker dies that builds the model of this seed."""

    def model(here: int = os.getpid()) -> nn.Module:
        if os.getpid() != here and torch.initial_seed() == seed:
            os.kill(os.getpid(), signal.SIGKILL)
        return nn.Linear(4, 1)

    return regression(model)


def hanging_once(marks: Path) -> Problem:
    """The first worker hangs in its first step."""

    def hang() -> None:
        try:
            (marks / "hung").touch(exist_ok=False)
        except FileExistsError:
            return
        threading.Event().wait()

    return in_workers(hang)


def raising(make: Callable[[], BaseException]) -> Problem:
    def fail() -> None:
        raise make()

    def loss(output: Tensor, y: Tensor, here: int = os.getpid()) -> Tensor:
        if os.getpid() != here:
            fail()
        return nn.functional.mse_loss(output, y)

    return regression(loss=loss)


def own_error() -> Callable[[], BaseException]:
    class TwoPartsError(Exception):
        """Can't be unpickled: its arguments are not those of its constructor."""

        def __init__(self, what: str, why: str) -> None:
            super().__init__(f"{what}: {why}")

    return lambda: TwoPartsError("rows", "ragged")


#: What the user's code raises in a worker, and what comes of it.
RAISED: dict[str, tuple[Callable[[], BaseException], type[BaseException], str]] = {
    "a problem's": (lambda: ProblemError("train: too wide."), ProblemError, "train: too wide."),
    "torch's": (lambda: RuntimeError("mat1 and mat2"), RuntimeError, "mat1 and mat2"),
    "one that can't travel": (own_error(), RuntimeError, "TwoPartsError: rows: ragged"),
    "an exit": (lambda: SystemExit(3), SystemExit, "3"),
}


def warning() -> Problem:
    return in_workers(lambda: warnings.warn("the weights are odd", UserWarning, stacklevel=1))


def unpackable() -> Problem:
    lock = threading.Lock()

    def loss(output: Tensor, y: Tensor) -> Tensor:
        with lock:
            return nn.functional.mse_loss(output, y)

    return regression(loss=loss)


def vanished(folder: Path, source: str) -> ModuleType:
    """A module of a package that was there when it was imported and is no more, as on another machine."""
    package = folder / "vanished"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "inner.py").write_text(source)
    for name in ("vanished", "vanished.inner"):
        sys.modules.pop(name, None)
    importlib.invalidate_caches()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        module = importlib.import_module("vanished.inner")
    shutil.rmtree(package)
    return module


def trained(engine: Engine, problem: Problem, **changes: Any) -> dict[int, Outcome]:
    return outcomes_of(engine.train(problem, work_of(problem, **changes), lambda progress: None))
