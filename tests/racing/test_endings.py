"""What is done at the end of a race never costs its result: what fails becomes a sentence, and the rest stands."""

from __future__ import annotations

import itertools
import json
import os
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import fallline as fl
from fallline.racing import Effort, RaceResult, Watcher
from fallline.racing.arm_result import ArmResult
from fallline.racing.engines.engine import LocalEngine
from fallline.racing.storage.kept import forget_runs
from fallline.racing.storage.races import past_races
from fallline.racing.storage.store import Store

X = torch.linspace(-1, 1, 240).reshape(60, 4)
Y = X.square().sum(1, keepdim=True)


def problem(**changes: Any) -> fl.Problem:
    splits = {"train": (X[:40], Y[:40]), "valid": (X[40:50], Y[40:50]), "test": (X[50:], Y[50:])}
    given = {"model": lambda: nn.Linear(4, 1), "loss": nn.functional.mse_loss, "batch": 8, "epochs": 1, **splits}
    return fl.Problem(**{**given, **changes})


def run(storage: Path | None = None, **changes: Any) -> RaceResult:
    given = changes.pop("problem", None) or problem()
    how = {
        "arms": ["sgd", "adam"],
        "effort": Effort(trials=3, finalists=1, seeds=2),
        "training": "batched",
        "workers": 1,
        **changes,
    }
    return fl.race(given, storage=storage, **how)


class SilentError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no word")


#: What may fail at the end, and how the sentence begins that says so.
PARTS = {
    "a program": ((ArmResult, "code"), "The program for adam could not be written"),
    "the result's JSON": ((RaceResult, "to_json"), "The result could not be kept in the storage"),
    "training the slices' models": (("fallline.racing.result", "trained_again"), "The cuts through the loss"),
    "the slices": (("fallline.racing.result", "slices_around"), "The cuts through the loss"),
    "timing": (("fallline.racing.protocol", "solo_seconds"), "The steps could not be timed alone"),
}
REASONS: dict[str, tuple[Callable[[], BaseException], str]] = {
    "an error": (lambda: TypeError("no such thing.\nMore"), r"\(TypeError: no such thing\)\."),
    "an interrupt": (KeyboardInterrupt, r"\(interrupted\)\."),
    "a full disk": (lambda: OSError(28, "No space left on device"), "No space left on device"),
    "an exit": (lambda: SystemExit(3), r"\(SystemExit: 3\)"),
    "an error without a word": (SilentError, r"\(SilentError\)\."),
}


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("part", PARTS)
def test_what_fails_at_the_end_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, reason: str) -> None:
    (owner, name), beginning = PARTS[part]
    make, said = REASONS[reason]

    def fail(*_: Any, **__: Any) -> Any:
        raise make()

    path = tmp_path / "runs.db"
    with monkeypatch.context() as patch:
        if isinstance(owner, str):
            patch.setattr(f"{owner}.{name}", fail)
        else:
            patch.setattr(owner, name, fail)
        result = run(path, slices=True)
    (told,) = (warning for warning in result.warnings if warning.startswith(beginning))
    assert re.search(said, told), told
    assert {arm.name for arm in result.arms} == {"adam", "sgd"}
    assert told[:40] in str(result)
    assert "Every run is kept in" in str(result)
    (race,) = past_races(path)
    assert race.kept == race.planned


def test_a_report_goes_without_what_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run()
    monkeypatch.setattr("fallline.racing.result.trained_again", lambda *_, **__: 1 // 0)
    result.report(tmp_path / "race.html")
    assert "The cuts through the loss around the best runs are left out" in (tmp_path / "race.html").read_text()


class Loud:
    def __repr__(self) -> str:
        raise RuntimeError("no word")


@pytest.mark.parametrize(
    "value",
    [Loud(), object(), lambda: 0, float("inf"), torch.ones(2), {1: Loud()}],
    ids=["loud", "object", "lambda", "infinite", "tensor", "nested"],
)
def test_a_value_of_any_kind_is_written(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Told(torch.optim.SGD):
        def __init__(self, params: Any, lr: float = 0.1, note: Any = None) -> None:
            super().__init__(params, lr=lr)

    result = run(arms=[fl.Arm("told", Told, fixed={"note": value})])
    json.dumps(result.to_json(), allow_nan=False)
    compile(result.best.code(), "pasted", "exec")


# The storage fails.


def deleted(path: Path) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


def replaced(path: Path) -> None:
    deleted(path)
    path.write_bytes(b"")


def without_tables(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("drop table if exists runs")
    database.commit()
    database.close()


#: What happens to a storage while it is used, and what is said of it.
ACCIDENTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "deleted": (deleted, "was deleted while it was in use"),
    "replaced": (replaced, "was replaced by another file while it was in use"),
    "its tables dropped": (without_tables, "no such table: runs"),
}


@pytest.mark.parametrize(
    ("accident", "when"),
    [*itertools.product(ACCIDENTS, ["before the first run", "after the first run"]),
     ("deleted", "at the very end"), ("replaced", "at the very end")],
)  # fmt: skip
def test_a_storage_that_fails_costs_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accident: str, when: str
) -> None:
    path = tmp_path / "runs.db"
    happen, said = ACCIDENTS[accident]
    train = LocalEngine.train

    def training(self: LocalEngine, *given: Any) -> Any:
        if when == "before the first run":
            happen(path)
        yield from train(self, *given)
        if when == "after the first run":
            happen(path)

    if when == "at the very end":
        monkeypatch.setattr(RaceResult, "with_slices", lambda self: (happen(path), self)[1])
    else:
        monkeypatch.setattr(LocalEngine, "train", training)
    result = run(path, slices=True)
    assert "Every run is kept in" not in str(result)
    (told,) = (warning for warning in result.warnings if warning.startswith("Not every run of this race is"))
    assert said in told
    assert said in str(result).replace("\n  ", " ")
    assert result.to_json()["occasion"]["storage"] is None


class Notes(Watcher):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, line: str) -> None:
        self.lines.append(line)


def test_a_storage_that_recovers_has_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, add, fails = tmp_path / "runs.db", Store.add, [OSError("the storage is locked")]

    def adding(self: Store, *given: Any) -> None:
        if fails:
            raise fails.pop()
        add(self, *given)

    monkeypatch.setattr(Store, "add", adding)
    notes = Notes()
    result = run(path, watcher=notes)
    assert any("The storage is locked; the race goes on" in note for note in notes.lines)
    assert "Every run is kept in" in str(result)
    (race,) = past_races(path)
    assert (race.kept, race.finished) == (race.planned, True)


def test_what_was_kept_and_is_gone_at_the_end_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "runs.db"
    monkeypatch.setattr(RaceResult, "with_slices", lambda self: (forget_runs(path, arm="adam"), self)[1])
    result = run(path, slices=True)
    (told,) = (warning for warning in result.warnings if warning.startswith("Not every run of this race is"))
    assert f"5 runs can't be read back from the storage {path}" in told
    assert result.to_json()["occasion"]["storage"] is None


FULL = """
import resource, sys
sys.path.insert(0, {folder!r})
import test_endings
from pathlib import Path
from fallline.racing.engines.engine import LocalEngine

train = LocalEngine.train

def training(self, *given):
    size = max(file.stat().st_size for file in Path().glob("runs.db*"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    return train(self, *given)

LocalEngine.train = training
print(test_endings.run(Path("runs.db")))
"""


def test_a_full_disk(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL.format(folder=str(Path(__file__).parent))], cwd=tmp_path, capture_output=True,
        text=True, check=False, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert not done.returncode, done.stderr
    assert "Not every run of this race is kept" in done.stdout
    assert "Every run is kept" not in done.stdout


# What can't be sent to another process.


def locked() -> type[torch.optim.SGD]:
    lock = threading.Lock()

    class Locked(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            with lock:
                return super().step(closure)

    return Locked


def test_an_arm_that_cannot_be_sent_is_named() -> None:
    with pytest.raises(ValueError, match=r"an arm among Locked can't be sent to another process .*give workers=1"):
        run(arms=[locked()], workers=2)


def test_a_race_that_cannot_be_sent_is_trained_here() -> None:
    notes = Notes()
    run(arms=[locked()], workers=None, training="auto", watcher=notes)
    assert any("can't be sent to other processes, so all runs are trained in this one" in note for note in notes.lines)


# A metric that is no finite number at times.


def constant_at_first() -> nn.Module:
    """A network whose outputs are all alike until it is trained."""
    model = nn.Linear(4, 1)
    nn.init.zeros_(model.weight)
    return model


def correlation(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return torch.corrcoef(torch.stack([output[:, 0], target[:, 0]]))[0, 1]


def ratio(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return target.std() / (output - output[0]).abs().sum()  # infinite for a constant


def never_on(size: int) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """NaN on the split of this size, for models that are not trained; the last one for about half the seeds."""

    def score(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        absent = len(output) == abs(size) and bool((output[0] > 0) if size < 0 else (output == output[0]).all())
        return torch.tensor(float("nan")) if absent else (output - target).abs().mean()

    return score


ODD = {
    "a correlation of a constant": (correlation, True, "The correlation of the untrained model is not a finite"),
    "infinite at the start": (ratio, False, "The ratio of the untrained model is not a finite number"),
    "NaN on validation alone": (never_on(11), False, None),
    "NaN on test alone": (never_on(9), False, "The score of the untrained model is not a finite number"),
    "NaN in some seeds": (never_on(-9), False, "such a run is counted as diverged"),
}


@pytest.mark.parametrize("name", ODD)
def test_a_metric_that_is_no_number_at_times(tmp_path: Path, name: str) -> None:
    score, higher, said = ODD[name]
    odd = problem(
        model=(lambda: nn.Linear(4, 1)) if "some" in name else constant_at_first,
        metric=fl.Metric(score.__name__, score, higher_is_better=higher),
        valid=(X[40:51], Y[40:51]),
        test=(X[51:], Y[51:]),
    )  # fmt: skip
    result = run(problem=odd, effort=Effort(trials=3, finalists=1, seeds=6), arms=["adam", "rmsprop", "momentum"])
    text = " ".join(str(result).split())
    assert len(result.arms) == 3
    assert said is None or said in text.replace("- ", "")
    json.dumps(result.to_json(), allow_nan=False)
    result.report(tmp_path / "race.html")
    result.figure("curves").write(tmp_path / "curves.svg")


def test_a_metric_that_is_never_a_number_is_refused() -> None:
    never = fl.Metric("never", lambda output, target: torch.tensor(float("nan")), higher_is_better=True)
    with pytest.raises(ValueError, match="'never' is NaN on valid at the start"):
        run(problem=problem(metric=never))


@pytest.mark.parametrize("lost", [True, False])
def test_who_stops_a_race_hears_whether_its_runs_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    def full(self: Store, *given: Any) -> None:
        raise OSError("the disk is full")

    def stopped(*given: Any) -> Any:
        raise KeyboardInterrupt

    if lost:
        monkeypatch.setattr(Store, "add", full)
    monkeypatch.setattr("fallline.racing.finals.run_finals", stopped)
    with pytest.raises(KeyboardInterrupt) as raised:
        run(tmp_path / "runs.db")
    notes = ["Not every run of this race is kept: the disk is full"] if lost else []
    assert getattr(raised.value, "__notes__", []) == notes
