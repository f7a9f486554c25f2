"""Statistics that a race shows, as pure functions of arrays; no infinity or NaN enters: every function refuses them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fallline.racing.judging.records import LARGEST_SCORE, Estimate

Floats = NDArray[np.float64]

LEVEL = 0.05  # of the tests; the intervals are its complement
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


def performance_profile(times: ArrayLike, solved: ArrayLike, ratios: Sequence[float]) -> Floats:
    """Share of problems (arms, ratios) that each arm solves within a ratio of the fastest arm's time.

    `times` (arms, problems) must be above zero where `solved` (arms, problems); elsewhere they are not looked at. A
    problem that no arm solves counts against all. Source: Dolan and Moré, Benchmarking optimization software, 2002.

    >>> performance_profile([[1.0, 4.0], [2.0, 2.0]], [[True, True], [True, True]], [1, 2]).tolist()
    [[0.5, 1.0], [0.5, 1.0]]
    """
    ratio, done = _time_ratios(times, solved)
    return np.asarray((done[..., None] & (ratio[..., None] <= np.asarray(ratios))).mean(axis=1), dtype=np.float64)


def profile_area(times: ArrayLike, solved: ArrayLike, *, limit: float = 4.0) -> Floats:
    """Mean height (arms,) of each performance profile over ratios 1 to `limit`; 1.0 is fastest on every problem.

    Integrated exactly: a problem solved at ratio r adds a step as wide as limit - r.

    >>> profile_area([[1.0, 4.0], [2.0, 2.0]], [[True, True], [True, True]], limit=5.0).tolist()
    [0.875, 0.875]
    """
    if not limit > 1:
        raise ValueError(f"limit must be above 1, the fastest arm's own ratio; it is {limit}.")
    ratio, done = _time_ratios(times, solved)
    return np.asarray(np.where(done, np.maximum(limit - ratio, 0.0), 0.0).mean(axis=1) / (limit - 1))


def _time_ratios(times: ArrayLike, solved: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    """Times over the fastest arm's, with 1 in the place of misses, and where a problem was solved."""
    seconds, done = np.asarray(times, dtype=np.float64), np.asarray(solved, dtype=np.bool_)
    if seconds.ndim != 2 or seconds.shape != done.shape:
        raise ValueError(f"times and solved must be matrices of one shape; they are {seconds.shape} and {done.shape}.")
    if not ((seconds > 0) & (seconds <= LARGEST))[done].all():
        raise ValueError("times must be finite and above zero wherever solved is true.")
    seconds = np.where(done, seconds, LARGEST)
    return np.where(done, seconds / seconds.min(axis=0), 1.0), done
