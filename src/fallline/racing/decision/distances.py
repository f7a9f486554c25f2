"""How far each arm is from the best, for all arms at once: what seeds, test examples and trials leave open."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fallline.racing.decision.records import Floats

TRIAL_FREEDOM = 6.0
"""Degrees of freedom of what another draw of the trials would change: calibrated by `benchmarks/decisions.py`."""
ROUNDING = 1e-12
"""Means that differ by this share of the largest loss are equal: shares of whole examples differ by rounding."""


class Varied(Protocol):
    """What intervals are made of: the differences (arms, arms) of mean losses, and how far they are to be trusted."""

    @property
    def n_seeds(self) -> int:
        """How many seeds there were."""

    @property
    def differences(self) -> Floats:
        """Of the means, row less column."""

    def variance(self) -> Floats:
        """Of the differences."""

    def freedom(self) -> Floats:
        """Degrees of freedom of that variance."""


@dataclass(frozen=True, eq=False)
class Spread:
    """Mean losses (arms,) and where the variances (arms, arms) of their differences come from."""

    means: Floats
    seeds: Floats
    examples: Floats
    common: Floats  # what is in both of these
    trials: Floats  # (arms,) each arm's own
    n_seeds: int
    n_examples: int
    size: float = 0.0  # of the largest loss, in whose rounding differences are zero

    def variance(self, times: float = 1.0) -> Floats:
        """Of the differences, had there been so many times the seeds."""
        seeds = self.seeds / times
        crossed = np.maximum(np.maximum(seeds, self.examples), seeds + self.examples - self.common / times)
        return np.where(np.eye(len(seeds), dtype=bool), 0.0, crossed + np.add.outer(self.trials, self.trials))

    def freedom(self, times: float = 1.0) -> Floats:
        """Satterthwaite's degrees of freedom of that variance, no more than the examples have."""
        seeds = min(max(times * self.n_seeds - 1, 1.0), 1e6)
        variance, own = self.variance(times), self.trials**2 / TRIAL_FREEDOM
        squares = (self.seeds / times) ** 2 / seeds + self.examples**2 / max(self.n_examples - 1, 1)
        squares += np.add.outer(own, own)
        known = (variance > 0) & (squares > 0)
        found = np.divide(variance**2, squares, out=np.full_like(variance, seeds), where=known)
        return found if self.n_examples == 1 else np.minimum(found, self.n_examples - 1)

    @property
    def differences(self) -> Floats:
        """Of the means, row less column; what is zero but for rounding is zero."""
        found = np.subtract.outer(self.means, self.means)
        return np.where(np.abs(found) <= ROUNDING * self.size, 0.0, found)


def spread(losses: Floats, *, luck: Floats, trials: Floats, examples: Floats | None = None) -> Spread:
    """The spread of the arms' mean losses (arms, seeds), over at least two seeds.

    Seeds and examples (arms, seeds, examples) are crossed and shared by all arms: the variance of a difference is that
    of its means by seed, and that of its means by example, less what the two have in common. Drawing seeds and examples
    again would count this part three times. `trials` (arms,) are variances over other draws of each arm's trials, and
    `luck` (arms,) is added to the means. Sources: Owen, The pigeonhole bootstrap, 2007; Satterthwaite, An approximate
    distribution of estimates of variance components, 1946.

    >>> found = spread(np.array([[1.0, 2.0, 3.0], [1.0, 3.0, 5.0]]), luck=np.zeros(2), trials=np.zeros(2))
    >>> found.differences[1, 0].item(), found.variance()[1, 0].round(6).item(), found.freedom()[1, 0].item()
    (1.0, 0.333333, 2.0)
    """
    (arms, seeds), size = losses.shape, float(np.abs(losses).max())
    by_seed = _covariance(losses)
    by_example, common, count = np.zeros_like(by_seed), np.zeros_like(by_seed), 1
    if examples is not None and examples.shape[2] > 1:
        count = examples.shape[2]
        means = examples.mean(axis=1)
        by_example = _covariance(means)
        rest = examples - examples.mean(axis=2, keepdims=True)
        rest = (rest - rest.mean(axis=1, keepdims=True)).reshape(arms, -1)
        common = rest @ rest.T / ((seeds - 1) * (count - 1) * seeds * count)
    return Spread(
        losses.mean(axis=1) + luck, _of_differences(by_seed, size), _of_differences(by_example, size),
        _of_differences(common, size), trials, seeds, count, size,
    )  # fmt: skip


def _covariance(values: Floats) -> Floats:
    """Of the means over the last axis of values (arms, n)."""
    return np.asarray(np.atleast_2d(np.cov(values)) / values.shape[1])


def _of_differences(covariance: Floats, size: float) -> Floats:
    """Variances (arms, arms) of the differences of what has this covariance; none that is rounding of this size."""
    own = np.diag(covariance)
    found = np.add.outer(own, own) - 2 * covariance
    return np.where(found > np.maximum(ROUNDING * np.add.outer(own, own), (ROUNDING * size) ** 2), found, 0.0)


def level_of_each(arms: int, level: float) -> float:
    """The level of each pair's interval at which those of all pairs of arms hold together.

    Šidák's, for as many pairs. The studentised range has narrower intervals by 4 to 6 %, but takes variances that are
    known: with those of ten seeds, twelve equal arms had a pair told apart in 6 to 9 % of the races.

    >>> [round(level_of_each(arms, 0.05), 5) for arms in (2, 3, 12)]
    [0.05, 0.01695, 0.00078]
    """
    pairs = max(arms * (arms - 1) // 2, 1)
    return -math.expm1(math.log1p(-level) / pairs)


@dataclass(frozen=True, eq=False)
class Distances:
    """Simultaneous intervals (arms, arms) of the differences of mean loss, row less column, and what follows.

    Bounds of each arm's distance from the best, whichever that is, hold whenever the intervals do. Source: Hsu,
    Constrained simultaneous confidence intervals for multiple comparisons with the best, 1984.
    """

    low: Floats
    high: Floats
    each: float  # the level of each of them

    @property
    def nearest(self) -> Floats:
        """The least (arms,) that each arm is from the best."""
        return np.asarray(np.maximum(self.low.max(axis=1), 0.0))

    @property
    def furthest(self) -> Floats:
        """The most (arms,) that each arm is from the best."""
        return np.asarray(np.maximum(self.high.max(axis=1), 0.0))

    def behind(self, margin: float) -> NDArray[np.bool_]:
        """Which arms (arms,) are further from the best than a margin for certain."""
        return self.nearest > margin

    def leading(self, margin: float) -> list[int]:
        """The places of the others."""
        return np.flatnonzero(~self.behind(margin)).tolist()

    def winner(self, margin: float) -> int | None:
        """The place of the only arm whose distance is within a margin for certain; None where there is none."""
        within = np.flatnonzero(self.furthest <= margin).tolist()
        return within[0] if len(within) == 1 else None

    def ends(self, names: Sequence[str]) -> dict[str, tuple[float, float]]:
        """The least and the most that each arm is from the best, by its name."""
        return dict(zip(names, zip(self.nearest.tolist(), self.furthest.tolist(), strict=True), strict=True))


def distances(found: Varied, level: float, widest: float = math.inf) -> Distances:
    """Intervals of all differences that hold together in all but a share `level` of the races.

    Differences that vary with nothing are told by their signs alone, which takes several seeds. None is larger than
    `widest`.
    """
    from scipy.special import stdtrit

    errors, difference = np.sqrt(found.variance()), found.differences
    each = level_of_each(len(difference), level)
    reach = stdtrit(found.freedom(), 1 - each / 2) * errors
    if 2.0 ** (1 - found.n_seeds) > each:
        reach = np.where((errors == 0) & (difference != 0), np.inf, reach)
    return Distances(np.maximum(difference - reach, -widest), np.minimum(difference + reach, widest), each)
