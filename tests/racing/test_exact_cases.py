"""Races whose outcome mathematics knows in advance."""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import fallline as fl
from fallline import rules
from fallline.problems import quadratic
from fallline.racing import Arm, Effort, RaceResult

NO_NOISE = Effort(trials=64, finalists=1, seeds=2, rounds=1)
STANDARD = Effort(trials=16, finalists=5, seeds=10)
CONDITIONS = [3, 10, 100, 1000]
#: Times the stability limit: from here on 200 steps are enough to run out of bounds.
CLEARLY = 1.05


def race(problem: fl.Problem, arms: list[Any], effort: Effort) -> RaceResult:
    """At constant rates, of which the theory is."""
    return fl.race(problem, arms, effort, schedule="constant", storage=None)


@functools.cache
def gradient_descent_race(condition: int) -> RaceResult:
    """Over two decades around the limit 2 / (largest curvature), beyond which gradient descent diverges."""
    limit = 2 / condition
    arm = Arm("gradient descent", rules.gradient_descent, {"lr": (limit / 10, limit * 10)})
    return race(quadratic(condition=condition, dimensions=2), [arm], NO_NOISE)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_best_learning_rate_of_gradient_descent(condition: int) -> None:
    """Where the contractions |1 - lr λ| of the extreme curvatures are equal (Polyak, 1964)."""
    found = gradient_descent_race(condition)["gradient descent"].configuration["lr"]
    assert found == pytest.approx(2 / (1 + condition), rel=0.15)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_trials_diverge_beyond_the_stability_limit_and_none_below(condition: int) -> None:
    trials = gradient_descent_race(condition)["gradient descent"].entry.trials
    diverged = {trial.configuration["lr"] * condition / 2: trial.diverged for trial in trials}
    assert not any(gone for share, gone in diverged.items() if share < 1)
    assert all(gone for share, gone in diverged.items() if share > CLEARLY)
    assert 20 < sum(diverged.values()) < 44  # half of the space lies beyond


@pytest.mark.parametrize("condition", [10, 100])
def test_heavy_ball_contracts_at_its_optimal_rate(condition: int) -> None:
    """(√κ - 1) / (√κ + 1) a step at the optimal settings (Polyak, 1964), where both roots are double.

    So the error after t steps is about t times the rate to the power of t, and the loss its square.
    """
    root = math.sqrt(condition)
    lr, rate = 4 / (1 + root) ** 2, (root - 1) / (root + 1)
    arm = Arm("heavy ball", rules.momentum, {"lr": (lr, lr * (1 + 1e-12))}, {"momentum": rate**2})
    result = race(quadratic(condition=condition, dimensions=2, steps=120), [arm], Effort(1, 1, 4))
    for run in result["heavy ball"].finals[0]:
        early, late = np.searchsorted(run.steps, [60, 120])
        steps = run.steps[late] - run.steps[early]
        shrunk = math.sqrt(run.valid_loss[late] / run.valid_loss[early]) * run.steps[early] / run.steps[late]
        assert shrunk ** (1 / steps) == pytest.approx(rate, rel=0.003)


def test_heavy_ball_wins_over_gradient_descent() -> None:
    """With the optimal momentum it contracts by 9/11 a step, where gradient descent at its best does by 99/101."""
    limit = 2 / 100
    descent = Arm("gradient descent", rules.gradient_descent, {"lr": (limit / 10, limit)})
    ball = Arm("heavy ball", rules.momentum, {"lr": (limit / 10, 2 * limit)}, {"momentum": (9 / 11) ** 2})
    problem = quadratic(condition=100, dimensions=5, steps=50)
    found = race(problem, [descent, ball], STANDARD).decision
    assert found.take is not None
    assert found.take.arm == "heavy ball"
    # Losses that differ by orders of magnitude from seed to seed take more seeds, and it says how many.
    assert found.settling is not None
    assert found.settling.seeds is not None
    assert race(problem, [descent, ball], replace(STANDARD, seeds=found.settling.seeds)).decision.winner == "heavy ball"


_generator = torch.Generator().manual_seed(0)
X = torch.randn(160, 4, generator=_generator, dtype=torch.float64)
Y = (X @ torch.tensor([[1.0], [-2.0], [0.5], [0.0]], dtype=torch.float64)) + 0.5 * torch.randn(
    160, 1, generator=_generator, dtype=torch.float64
)


class Linear(nn.Linear):
    """In float64; with `batches=False` it branches on a tensor's value, which rules out batched lanes."""

    def __init__(self, batches: bool) -> None:
        super().__init__(4, 1, dtype=torch.float64)
        self.batches = batches

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.batches and self.weight.sum() == math.inf:
            return x
        return super().forward(x)


def regression(*, batches: bool = True) -> fl.Problem:
    return fl.Problem(
        model=lambda: Linear(batches),
        loss=nn.functional.mse_loss,
        train=(X[:64], Y[:64]),
        valid=(X[64:96], Y[64:96]),
        test=(X[96:], Y[96:]),
        batch=8,
        epochs=5,
        name="regression",
    )


SOUND = {"lr": (1e-3, 1.0)}
TWIN = Arm("twin", rules.gradient_descent, SOUND)
OTHER_TWIN = Arm("other twin", rules.gradient_descent, {"lr": (1e-3, 1.001)})  # in the same space both are raced once
CRIPPLED = Arm("crippled", rules.gradient_descent, {"lr": (1e-7, 1e-5)})


def test_two_names_for_one_optimizer_tie() -> None:
    decision = race(regression(), [TWIN, OTHER_TWIN], STANDARD).decision
    assert decision.winner is None
    assert set(decision.tied) == {"twin", "other twin"}


def test_a_crippled_arm_loses_to_a_named_winner() -> None:
    decision = race(regression(), [TWIN, CRIPPLED], STANDARD).decision
    assert (decision.winner, decision.ranking) == ("twin", ("twin", "crippled"))
    assert list(decision.behind) == ["crippled"]


def conclusions(result: RaceResult) -> dict[str, Any]:
    """What a race concludes, but for what a clock has a say in."""
    decision = result.decision
    return {
        "take": decision.take,
        "winner": decision.winner,
        "behind": set(decision.behind),
        "ranking": decision.ranking,
    }


@functools.cache
def three_arms(order: tuple[int, ...], batches: bool = True) -> RaceResult:
    arms = [TWIN, CRIPPLED, OTHER_TWIN]
    return race(regression(batches=batches), [arms[place] for place in order], Effort(trials=8, finalists=2, seeds=6))


@pytest.mark.parametrize("order", list(itertools.permutations(range(3)))[1:])
def test_the_order_of_the_arms_changes_no_conclusion(order: tuple[int, ...]) -> None:
    assert conclusions(three_arms(order)) == conclusions(three_arms((0, 1, 2)))


def test_runs_in_turn_come_to_the_same_conclusions() -> None:
    batched, in_turn = three_arms((0, 1, 2)), three_arms((0, 1, 2), batches=False)
    assert conclusions(in_turn) == conclusions(batched)
    for arm in batched.arms:
        for one, other in zip(arm.entry.finals, in_turn[arm.name].entry.finals, strict=True):
            np.testing.assert_allclose(other.scores, one.scores, rtol=1e-9)


LABELS = (X[:, :1] + 0.5 * X[:, 1:2] > 0.2).to(torch.float64)
PENALTY = 0.1


class Logistic(nn.Module):
    """Gives the logit and, for the penalty on them, the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(0.1 * torch.randn(4, 1, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x @ self.weights, self.weights.mT.expand(len(x), -1)], dim=1)


def penalised(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    fit = nn.functional.binary_cross_entropy_with_logits(output[:, :1], target)
    return fit + PENALTY / 2 * output[:, 1:].square().sum(1).mean()


def smallest_loss() -> float:
    """By Newton's method, on the formulas of the loss and its derivatives."""
    x, y, w = X.numpy(), LABELS.numpy()[:, 0], np.zeros(4)
    for _ in range(20):
        p = 1 / (1 + np.exp(-x @ w))
        gradient = x.T @ (p - y) / len(y) + PENALTY * w
        w -= np.linalg.solve((x.T * (p * (1 - p))) @ x / len(y) + PENALTY * np.eye(4), gradient)
    logits = x @ w
    return float(np.mean(np.logaddexp(0, logits) - y * logits) + PENALTY / 2 * w @ w)


def test_all_sound_arms_reach_the_minimum_of_a_convex_problem() -> None:
    everything = (X, LABELS)
    problem = fl.Problem(
        model=Logistic, loss=penalised, train=everything, valid=everything, test=everything,
        batch=len(X), epochs=300, name="logistic",
    )  # fmt: skip
    # Not adamw, whose decay beside the loss has a minimum of its own.
    names = [
        "sgd",
        "momentum",
        "nesterov",
        "adagrad",
        "adadelta",
        "rmsprop",
        "adam",
        "adamax",
        "nadam",
        "radam",
        "adamp",
    ]
    result = race(problem, names, Effort(16, 1, 2))
    lowest = smallest_loss()
    assert {arm.name: arm.score and arm.score.value for arm in result.arms} == pytest.approx(
        dict.fromkeys(names, lowest),
        rel=2e-5,  # rates are of a grid
    )
