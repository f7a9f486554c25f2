"""The median over seeds and an interval for it that a diverged run can't flatter."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_LEVEL = 0.95
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

    The interval is that of order statistics, exact for any distribution: the narrowest that covers the true median with
    95 %, or from the lowest to the highest of fewer than six seeds, which covers it less surely. Source: Thompson, On
    confidence ranges for the median, 1936.

    >>> found = median(np.arange(10.0)[:, None], higher_is_better=False)
    >>> found.value.tolist(), found.low.tolist(), found.high.tolist(), found.rank, round(found.confidence, 3)
    ([4.5], [1.0], [8.0], 2, 0.979)
    """
    worst = -np.inf if higher_is_better else np.inf
    ascending = np.sort(np.where(np.isfinite(values), values, worst), axis=0)
    seeds = len(ascending)
    rank = max(rank for rank in range(1, seeds + 1) if rank == 1 or _confidence(seeds, rank) >= _LEVEL)
    middle = (ascending[(seeds - 1) // 2] + ascending[seeds // 2]) / 2
    return Median(middle, ascending[rank - 1], ascending[seeds - rank], rank, _confidence(seeds, rank))


def _confidence(seeds: int, rank: int) -> float:
    """How likely the true median lies between the `rank`-th lowest and the `rank`-th highest of so many seeds."""
    outside = sum(math.comb(seeds, count) for count in range(rank))
    return 1 - 2 * outside / float(2**seeds)
