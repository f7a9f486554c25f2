"""Laws that decay for ever. They count steps or epochs alike: `law.per_epoch(steps_per_epoch)` counts epochs.

Bottou, Curtis and Nocedal, *Optimization Methods for Large-Scale Machine Learning*, 2018, discuss which converge.
"""

from __future__ import annotations

import math

from fallline.schedules.arguments import as_count, as_number
from fallline.schedules.schedule import Schedule


def inverse_time(rate: float) -> Schedule:
    """Return 1 / (1 + rate·t), the decay of Robbins and Monro, 1951.

    Raises TypeError or ValueError unless `rate` is a finite number, at least 0.

    >>> [inverse_time(1.0)(epoch) for epoch in (0, 1, 3)]
    [1.0, 0.5, 0.25]
    """
    return Schedule(_inverse_time, (as_number("rate", rate),))


def exponential(factor: float) -> Schedule:
    """Return factor**t, as in 0.95**epoch. torch calls it ExponentialLR.

    Raises TypeError or ValueError unless `factor` is greater than 0 and at most 1.

    >>> [exponential(0.5)(epoch) for epoch in (0, 1, 3)]
    [1.0, 0.5, 0.125]
    """
    return Schedule(_exponential, (as_number("factor", factor, above=0, most=1),))


def inverse_square_root(k: float = 1.0, first: int = 1) -> Schedule:
    """Return k / √(t + first): `first` is what the first step counts as, 1 unless told.

    After a warm-up of N steps to k/√N, `first=N` goes on without a jump, as in Vaswani et al., *Attention Is All You
    Need*, 2017: `warmup(N).then(inverse_square_root(k=N**0.5, first=N))` with the peak as base rate.

    Raises TypeError or ValueError unless `k` is finite and greater than 0 and `first` a whole number from 1.

    >>> [inverse_square_root()(step) for step in (0, 3)]
    [1.0, 0.5]
    """
    return Schedule(_inverse_square_root, (as_number("k", k, above=0), as_count("first", first)))


def _inverse_time(step: int, rate: float) -> float:
    return 1 / (1 + rate * step)


def _exponential(step: int, factor: float) -> float:
    return float(factor**step)


def _inverse_square_root(step: int, k: float, first: int) -> float:
    return k / math.sqrt(step + first)
