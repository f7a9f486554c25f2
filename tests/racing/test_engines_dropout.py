"""A race of networks with dropout comes out the same however its runs are trained, and repeats from its seed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import fallline as fl
from fallline.racing.arm_result import ArmResult
from fallline.racing.effort import Effort
from fallline.racing.result import RaceResult
from fallline.racing.runs import Outcome
from fallline.training import make_lanes, train
from fallline.training.updates import LaneUpdate

EFFORT = Effort(trials=6, finalists=2, seeds=6)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def problem() -> fl.Problem:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(200, 6, generator=generator)
    labels = (inputs[:, 0] * inputs[:, 1] + inputs[:, 2] > 0).long()
    return fl.Problem(
        model=lambda: nn.Sequential(
            nn.Linear(6, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.4), nn.Linear(16, 2)
        ),
        loss=nn.functional.cross_entropy,
        train=(inputs[:80], labels[:80]),
        valid=(inputs[80:140], labels[80:140]),
        test=(inputs[140:], labels[140:]),
        batch=20,
        epochs=3,
    )


def race(**given: Any) -> RaceResult:
    return fl.race(problem(), ["sgd", "adam"], EFFORT, storage=None, seed=1, **given)


@pytest.fixture(scope="module")
def batched() -> RaceResult:
    return race(training="batched")


@pytest.mark.parametrize("given", [{"training": "in turn"}, {"training": "batched", "workers": 2}], ids=str)
def test_same_runs_and_conclusion(batched: RaceResult, given: dict[str, Any]) -> None:
    other = race(**given)
    for name in ("winner", "tied", "ranking"):
        assert getattr(other.decision, name) == getattr(batched.decision, name)
    for arm, expected in zip(other.arms, batched.arms, strict=True):
        assert arm.configuration == expected.configuration
        for run, same in zip(runs_of(arm), runs_of(expected), strict=True):
            assert run.diverged_at == same.diverged_at
            np.testing.assert_allclose(run.valid_loss, same.valid_loss, rtol=1e-4)
            np.testing.assert_allclose(run.score, same.score, rtol=1e-4)


def runs_of(arm: ArmResult) -> list[Outcome]:
    """All trials and finals."""
    return [*arm.trials, *(run for runs in arm.finals for run in runs)]


def test_the_best_runs_follow_from_their_seeds_alone(batched: RaceResult) -> None:
    best = batched.arms[0]
    recipe = best.arm.recipe(best.configuration, best.problem)
    for seed, run in zip(best.final_seeds, best.finals[0], strict=True):
        lanes = make_lanes(best.problem, [seed], batched=False)
        curves = train(lanes, LaneUpdate(lanes.parameters, [recipe.lane]))
        np.testing.assert_allclose(curves.valid_loss[0], run.valid_loss, rtol=1e-4)
