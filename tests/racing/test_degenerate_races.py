"""What must not be said of races with one of a thing, with nothing to tell apart, or with nothing left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

import fallline as fl
from fallline.racing import Arm, Effort, RaceResult

X = torch.linspace(-1, 1, 64)[:, None]


def raced(effort: Effort, arms: Sequence[Any] = ("sgd", "adam"), **changes: Any) -> RaceResult:
    given: dict[str, Any] = {
        "model": lambda: nn.Linear(1, 1), "loss": nn.functional.mse_loss, "train": (X, 2 * X), "valid": (X, 2 * X),
        "test": (X[::2], 2 * X[::2]), "batch": 16, "epochs": 1, "name": "line",
    }  # fmt: skip
    return fl.race(fl.Problem(**{**given, **changes}), list(arms), effort, storage=None, training="batched")


def test_a_table_of_one_run_an_arm_has_no_intervals() -> None:
    result = raced(Effort(trials=1, finalists=1, seeds=1))
    text = str(result)
    assert "95 % confidence" not in text
    assert "One seed tells nothing of chance" in " ".join(text.split())
    assert result.decision.at_most_below_best is None
    assert all(arm["statistics"]["score"]["low"] is None for arm in result.to_json()["arms"])
    assert "<html" in _page(result)


def test_the_table_counts_what_diverged() -> None:
    wild = Arm("wild", fl.rules.gradient_descent, space={"lr": (1e-3, 1e3)})
    result = raced(Effort(trials=8, finalists=4, seeds=3), (wild, "adam"))
    text = str(result)
    assert "which count in its score as the untrained model" in " ".join(text.split())
    assert any(line.split()[-3:] == [f"{result['wild'].diverged_trials}", "+", f"{result['wild'].diverged_seeds}"]
               for line in text.splitlines() if line.startswith("wild"))  # fmt: skip


def test_a_goal_that_few_reached_is_not_said_to_be_reached_by_half() -> None:
    slow = [Arm(f"to {high}", fl.rules.gradient_descent, space={"lr": (1e-6, high)}) for high in (2e-6, 3e-6)]
    text = " ".join(str(raced(Effort(trials=2, finalists=2, seeds=2), slow)).split())
    assert "at least half of the arms reached" not in text
    assert "which less than half of the arms reached" in text


def _page(result: RaceResult) -> str:
    from fallline.pages.report import report_page

    return report_page(result.to_json())
