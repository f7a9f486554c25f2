import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fallline.racing.judging.statistics import (
    budget_curve,
    finite,
    mean_interval,
)


@pytest.mark.parametrize("n", range(1, 8))
def test_budget_curve_against_every_draw(n: int) -> None:
    losses = np.random.default_rng(n).normal(size=n)
    brute = [np.mean([min(draw) for draw in itertools.combinations(losses, k)]) for k in range(1, n + 1)]
    assert budget_curve(losses) == pytest.approx(brute)


def test_budget_curve_against_binomials() -> None:
    n, losses = 60, np.sort(np.random.default_rng(0).exponential(size=60))
    exact = [
        sum(losses[i - 1] * math.comb(n - i, k - 1) / math.comb(n, k) for i in range(1, n + 1)) for k in range(1, n + 1)
    ]
    assert budget_curve(losses) == pytest.approx(exact, rel=1e-12)


def test_budget_curve_of_many_losses_stays_a_curve() -> None:
    losses = np.random.default_rng(0).normal(size=3000)
    curve = budget_curve(losses)
    assert curve[0] == pytest.approx(losses.mean())
    assert curve[-1] == losses.min()
    assert (np.diff(curve) <= 1e-15).all()


def test_mean_interval_is_students() -> None:
    from scipy.stats import t

    scores = np.random.default_rng(0).normal(5.0, 2.0, 12)
    low, high = t.interval(0.95, 11, loc=scores.mean(), scale=scores.std(ddof=1) / math.sqrt(12))
    estimate = mean_interval(scores)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((scores.mean(), low, high))


def test_mean_interval_covers_as_promised() -> None:
    samples = np.random.default_rng(0).normal(size=(400, 6))
    covered = sum(one.low <= 0 <= one.high for one in map(mean_interval, samples))
    assert 0.92 <= covered / 400 <= 0.98


def test_one_score_has_no_interval() -> None:
    alone = mean_interval([1.0])
    assert (alone.value, alone.has_interval) == (1.0, False)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e200])
@pytest.mark.parametrize(
    ("function", "argument"),
    [
        (budget_curve, "losses"),
        (mean_interval, "scores"),
        (lambda values: finite(values, "anything"), "anything"),
    ],
)
def test_nothing_unbounded_enters(function: Callable[[Any], Any], argument: str, bad: float) -> None:
    with pytest.raises(ValueError, match=f"{argument} must be finite"):
        function([bad, 1.0, 2.0])
