import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fallline.racing.judging.statistics import (
    finite,
    mean_interval,
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
