import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fallline.racing.judging.statistics import (
    finite,
    mean_interval,
    performance_profile,
    profile_area,
)


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


def test_profile_by_hand() -> None:
    times, solved = [[1.0, 6.0, 5.0], [2.0, 2.0, math.nan]], [[True, True, False], [True, True, False]]
    profile = performance_profile(times, solved, [1.0, 1.9, 2.0, 3.0])
    assert profile == pytest.approx(np.array([[1, 1, 1, 2], [1, 1, 2, 2]]) / 3)  # nobody solves the third


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_profile_area_is_the_integral_of_the_profile(seed: int) -> None:
    rng = np.random.default_rng(seed)
    times, solved = rng.exponential(size=(3, 5)) + 0.1, rng.random((3, 5)) < 0.8
    middles = 1 + 3 * (np.arange(20_000) + 0.5) / 20_000
    integral = performance_profile(times, solved, middles.tolist()).mean(axis=1)
    assert profile_area(times, solved, limit=4.0) == pytest.approx(integral, abs=5e-4)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e200])
@pytest.mark.parametrize(
    ("function", "argument"),
    [
        (mean_interval, "scores"),
        (lambda values: finite(values, "anything"), "anything"),
    ],
)
def test_nothing_unbounded_enters(function: Callable[[Any], Any], argument: str, bad: float) -> None:
    with pytest.raises(ValueError, match=f"{argument} must be finite"):
        function([bad, 1.0, 2.0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: performance_profile([1.0], [True], [1.0]), "matrices of one shape"),
        (lambda: performance_profile([[0.0]], [[True]], [1.0]), "above zero"),
        (lambda: profile_area([[math.nan]], [[True]]), "above zero"),
        (lambda: profile_area([[1.0]], [[True]], limit=1.0), "limit must be above 1"),
    ],
)
def test_profiles_refuse_what_they_cannot_rank(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
