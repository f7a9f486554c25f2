"""The median over seeds and an interval for it that a diverged run can't flatter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fallline.racing.judging.records import median_rank

Array = NDArray[np.float64]

#: With fewer seeds there is no median worth the name: the runs themselves are shown.
FEWEST_SEEDS = 3


@dataclass(frozen=True, eq=False)
class Median:
    """The median [P] over S seeds and the ends [P] of its interval, which are the `rank`-th best and worst seeds.

    Infinite where a run without a number takes the place. `confidence` is how likely that interval covers the true
    median, whatever the distribution.
    """

    value: Array
    low: Array
    high: Array
    rank: int
    confidence: float


def median(values: Array, *, higher_is_better: bool) -> Median:
    """The median of values [S, P] over the seeds. What is NaN ranks as worse than any number.

    The interval is that of order statistics (`median_rank`), exact for any distribution.

    >>> found = median(np.arange(10.0)[:, None], higher_is_better=False)
    >>> found.value.tolist(), found.low.tolist(), found.high.tolist(), found.rank, round(found.confidence, 3)
    ([4.5], [1.0], [8.0], 2, 0.979)
    """
    worst = -np.inf if higher_is_better else np.inf
    ascending = np.sort(np.where(np.isfinite(values), values, worst), axis=0)
    seeds = len(ascending)
    rank, confidence = median_rank(seeds)
    middle = (ascending[(seeds - 1) // 2] + ascending[seeds // 2]) / 2
    return Median(middle, ascending[rank - 1], ascending[seeds - rank], rank, confidence)
