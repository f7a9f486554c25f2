"""What can be said of all pairs of arms at once: among so many pairs, some would seem to differ by chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fallline.racing.judging.statistics import EXACT_FLIPS, LEVEL, Floats, finite, holm

ROUNDING = 1e-12
"""Losses within this share of each other are equal: shares of whole examples differ by the rounding of sums."""
SAME_TIME = 1.1
"""Step times within this ratio are equal: where two copies of one optimizer lie in memory alone makes as much."""
CLOCK_LEVEL = 0.001
"""Of what is said of step times, all pairs together: a clock's noise is cheap to ask again."""


def all_pairs(arms: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and second arm (pairs,) of every pair."""
    first, second = np.triu_indices(arms, 1)
    return first, second


def all_pairs_p(losses: Floats, *, seed: int = 0) -> Floats:
    """Two-sided p-values (arms, arms) of paired sign flips of losses (arms, seeds), corrected for all pairs.

    The signs of a seed's differences are flipped for all pairs together, and each pair's |mean| / root mean square, a
    monotone function of Student's |t|, is held against the largest among the pairs that are no clearer. So a pair's p
    is never below 2 / 2**seeds, however many arms there are, and with two arms it is that of `sign_flip_p`. The chance
    that any equal pair falls below the level stays below the level. Exact for up to 14 seeds. Source: Westfall and
    Young, Resampling-Based Multiple Testing, 1993, algorithm 4.1 (step-down maxT).

    >>> all_pairs_p(np.array([[0.1, 0.2, 0.3, 0.4, 0.5], [0.3, 0.5, 0.6, 0.6, 0.9], [0.1, 0.2, 0.3, 0.4, 0.5]]))
    array([[1.    , 0.0625, 1.    ],
           [0.0625, 1.    , 0.0625],
           [1.    , 0.0625, 1.    ]])
    """
    arms, seeds = finite(losses, "losses").shape
    p = np.ones((arms, arms))
    first, second = all_pairs(arms)
    if seeds < 2 or arms < 2:
        return p
    differences = losses[first] - losses[second]
    sizes = np.maximum(np.abs(losses[first]), np.abs(losses[second]))
    differences = np.where(np.abs(differences) <= ROUNDING * sizes, 0.0, differences)
    largest = np.abs(differences).max(axis=1, keepdims=True)
    differences = differences / np.where(largest > 0, largest, 1.0)  # squares of 1e100 would leave the doubles
    spread = np.sqrt((differences**2).mean(axis=1))
    units = differences / np.where(spread > 0, spread, 1.0)[:, None] / seeds
    found = np.abs(units.sum(axis=1))
    order = np.argsort(-found, kind="stable")
    hits = np.zeros(len(order))
    flips = _flips(seeds, seed)
    for part in np.array_split(flips, -(-flips.size * len(order) // (seeds * 2_000_000))):
        flipped = np.abs(part @ units[order].T)
        no_clearer = np.maximum.accumulate(flipped[:, ::-1], axis=1)[:, ::-1]
        hits += (no_clearer >= found[order] - ROUNDING).sum(axis=0)
    adjusted = np.maximum.accumulate(hits / len(flips))
    p[first[order], second[order]] = p[second[order], first[order]] = adjusted
    return p


def _flips(seeds: int, seed: int) -> Floats:
    """Signs (flips, seeds): one of each that is the negative of another, or as many at random, what was found first."""
    if 2**seeds <= EXACT_FLIPS:
        numbers = np.arange(2 ** (seeds - 1))[:, None]
        return np.where(numbers >> np.arange(seeds) & 1, -1.0, 1.0)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (EXACT_FLIPS, seeds))
    signs[0] = 1.0
    return signs


def joint_level(draws: Floats) -> float:
    """The level at which the percentile intervals of all pairs' differences, of draws (arms, repeats), hold together.

    Each draw's two-sided tail share is taken among its pair's; the level is that which the smallest share of all pairs
    stays above in all but 5 % of the draws. It is 0.05 for one pair and the same for each: the intervals are balanced.
    Source: Beran, Balanced simultaneous confidence sets, 1988.

    >>> joint_level(np.random.default_rng(0).standard_normal((2, 100)))
    0.05
    """
    from scipy.stats import rankdata

    first, second = all_pairs(len(draws))
    if len(first) < 2:
        return LEVEL
    repeats = draws.shape[1]
    smallest = np.ones(repeats)
    for one, other in zip(first, second, strict=True):
        differences = draws[one] - draws[other]
        low, high = rankdata(differences, "max"), repeats + 1 - rankdata(differences, "min")
        smallest = np.minimum(smallest, 2 * np.minimum(low, high) / repeats)
    return min(LEVEL, float(np.quantile(smallest, LEVEL)))


def faster(times: Floats) -> NDArray[np.bool_]:
    """Whether an arm's step is told to be faster than another's (arms, arms), from its times (arms, rounds).

    In each round all arms are timed one after the other, in an order drawn anew, so that of two equal ones either is
    the slower by more than `SAME_TIME` in at most half of the rounds, whatever else the machine does. Told by the sign
    test over the rounds at `CLOCK_LEVEL`, after Holm's correction for all pairs.

    >>> faster(np.array([[1.0] * 20, [2.0] * 20])).tolist()
    [[False, True], [False, False]]
    """
    from scipy.stats import binom

    arms, rounds = times.shape
    told, (first, second) = np.zeros((arms, arms), dtype=bool), all_pairs(arms)
    if arms < 2:
        return told
    wins = np.stack([(times > SAME_TIME * own).sum(axis=1) for own in times])
    p = np.minimum(1.0, 2 * binom.sf(wins - 1, rounds, 0.5))
    told[first, second] = told[second, first] = holm(np.minimum(p, p.T)[first, second]) <= CLOCK_LEVEL
    return told & (wins > wins.T)
