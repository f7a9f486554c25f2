"""Statistics that a race shows, as pure functions of arrays; no infinity or NaN enters: every function refuses them."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fallline.racing.decision import LARGEST_SCORE, LEVEL
from fallline.racing.judging.records import Estimate

Floats = NDArray[np.float64]

LARGEST = 1e3 * LARGEST_SCORE  # room for what is computed from scores


def finite(values: ArrayLike, name: str) -> Floats:
    """The values as an array of doubles; ValueError naming the argument if one is NaN, infinite or beyond 1e103."""
    array = np.asarray(values, dtype=np.float64)
    if not (np.abs(array) <= LARGEST).all():
        raise ValueError(f"{name} must be finite numbers, at most {LARGEST:g} in size; mark diverged ones first.")
    return array


def mean_interval(scores: ArrayLike, *, bounds: tuple[float, float] = (-np.inf, np.inf)) -> Estimate:
    """The mean of scores (n,) with Student's t interval of 95 %, cut off at `bounds`; a single one has none.

    >>> mean_interval([1.0, 2.0, 3.0])
    Estimate(value=2.0, low=-0.484..., high=4.484...)
    """
    from scipy.special import stdtrit

    sample = finite(scores, "scores")
    mean = float(sample.mean()) + 0.0  # never -0.0
    if len(sample) < 2:
        return Estimate(mean, np.nan, np.nan)
    reach = float(stdtrit(len(sample) - 1, 1 - LEVEL / 2) * sample.std(ddof=1) / np.sqrt(len(sample)))
    return Estimate(mean, max(mean - reach, bounds[0]), min(mean + reach, bounds[1]))
