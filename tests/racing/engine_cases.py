"""Problems and jobs that the tests of all engines train; what they define travels by value, as a user's script does."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
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
from fallline.racing.runs import Job, Outcome, Run
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


def jobs(problem: Problem, *, batched: bool = True, number: int = 2, score: bool = True) -> dict[int, Job]:
    """Jobs of six runs each, by a rule of the package, one of the user's own and a torch class; one run diverges."""
    rates = {rules.adam: 0.01, own_rule(): 0.1, torch.optim.Adagrad: 0.1}
    found = {}
    for key in range(number):
        runs = []
        for rule, rate in rates.items():
            for lr in (rate, 1e30 if key else rate / 2):
                name = getattr(rule, "name", "Adagrad")
                values = {**getattr(rule, "defaults", {}), "lr": lr}
                runs.append(Run(name, {"lr": lr}, 7 + key, LaneRule(rule, values), problem.batch, problem.steps))
        found[key] = Job(tuple(runs), batched, score)
    return found


#: Each problem with whether its runs are batched.
PROBLEMS: dict[str, tuple[Callable[[], Problem], bool]] = {
    "digits": (lambda: digits(epochs=1), True),
    "a regression of lambdas": (regression, True),
    "a model that branches on its data": (branching, False),
}


def assert_trains_as_here(engine: Engine, problem: Problem, some: Mapping[int, Job]) -> None:
    """Same outcomes as training in this process, bit for bit, and `tell` ends at all run-steps."""
    told: list[int] = []
    found = dict(engine.train(problem, some, told.append))
    for key, expected in LocalEngine().train(problem, some, lambda steps: None):
        for one, other in zip(found[key], expected, strict=True):
            assert_equal(one, other)
    assert set(found) == set(some)
    assert told[-1] == sum(job.lane_steps for job in some.values())


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


def trained(engine: Engine, problem: Problem, number: int = 2) -> dict[int, list[Outcome]]:
    return dict(engine.train(problem, jobs(problem, number=number), lambda steps: None))
