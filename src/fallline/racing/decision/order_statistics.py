"""How sure it is that a median lies between two of its sample."""

from __future__ import annotations

import math

import numpy as np

from fallline.racing.decision.records import LEVEL


def median_rank(count: int, level: float = LEVEL) -> tuple[int, float]:
    """The order statistic that begins the narrowest interval for a median of `count`, at a level, and its confidence.

    The interval goes from the `rank`-th lowest to the `rank`-th highest and holds whatever the distribution; of too few
    it goes from the lowest to the highest and is less sure. Source: Thompson, On confidence ranges for the median,
    1936.

    >>> median_rank(10), median_rank(3)
    ((2, 0.978515625), (1, 0.75))
    """
    outside = np.cumsum([math.comb(count, below) for below in range(max(1, count // 2))])
    confidences = [1 - 2 * float(share) / 2**count for share in outside]
    rank = max(1, sum(confidence >= 1 - level for confidence in confidences))
    return rank, confidences[rank - 1]
