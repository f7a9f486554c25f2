"""How far each arm is from the best, for all arms at once: what seeds, test examples and trials leave open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fallline.racing.decision.choice import Chosen
from fallline.racing.decision.records import LEVEL, Floats

DRAWS = 10_000
TRIAL_FREEDOM = 3.0
"""Degrees of freedom of what another draw of the trials would change: calibrated, `benchmarks/decisions.py`."""
ROUNDING = 1e-12
"""Losses within this share of each other are equal: shares of whole examples differ by the rounding of sums."""


@dataclass(frozen=True, eq=False)
class Spread:
    """Mean losses (arms,) and the variances of their differences (arms, arms), by where these come from."""

    means: Floats
    covariance: Floats  # of the means: seeds, examples and trials
    seeds: Floats
    examples: Floats
    trials: Floats
    freedom: Floats  # degrees of freedom of a difference's variance
    variance: Floats

    @property
    def errors(self) -> Floats:
        """Standard errors (arms, arms) of the differences."""
        return np.asarray(np.sqrt(self.variance))


def spread(arms: Sequence[Chosen]) -> Spread:
    """The spread of the arms' mean losses over at least two seeds.

    Seeds and examples are crossed and shared by all arms: the variance of a difference is that of its means by seed,
    and that of its means by example, less what the two have in common, which is in both. Resampling seeds and examples
    would count this part three times. The draw of trials is each arm's own. Sources: Owen, The pigeonhole bootstrap,
    2007; Satterthwaite, An approximate distribution of estimates of variance components, 1946.
    """
    losses = np.stack([arm.losses for arm in arms])
    seeds = losses.shape[1]
    by_seed = _covariance(losses)
    by_example = common = np.zeros_like(by_seed)
    examples = 2
    if arms[0].examples is not None:
        whole = np.stack([arm.examples for arm in arms if arm.examples is not None])
        examples = whole.shape[2]
    if examples > 1 and arms[0].examples is not None:
        means = whole.mean(axis=1)
        by_example = _covariance(means)
        rest = whole - whole.mean(axis=2, keepdims=True) - (means - means.mean(axis=1, keepdims=True))[:, None]
        rest = rest.reshape(len(arms), -1)
        common = rest @ rest.T / ((seeds - 1) * (examples - 1) * seeds * examples)
    own = np.array([arm.trials for arm in arms])
    parts = [_of_differences(one) for one in (by_seed, by_example, common)]
    crossed = np.maximum(np.maximum(parts[0], parts[1]), parts[0] + parts[1] - parts[2])
    trials = np.add.outer(own, own)
    np.fill_diagonal(trials, 0.0)
    variance = crossed + trials
    squares = parts[0] ** 2 / (seeds - 1) + parts[1] ** 2 / (examples - 1)
    squares += np.add.outer(own**2, own**2) / TRIAL_FREEDOM
    np.fill_diagonal(squares, 0.0)
    freedom = np.divide(variance**2, squares, out=np.full_like(variance, seeds - 1.0), where=squares > 0)
    return Spread(np.array([arm.loss for arm in arms]), by_seed + by_example - common + np.diag(own), *parts[:2], trials, freedom,
                  variance)  # fmt: skip


def _covariance(values: Floats) -> Floats:
    """Of the means over the last axis of values (arms, n)."""
    return np.atleast_2d(np.cov(values)) / values.shape[1]


def _of_differences(covariance: Floats) -> Floats:
    """Variances (arms, arms) of the differences of what has this covariance."""
    own = np.diag(covariance)
    found = np.maximum(np.add.outer(own, own) - 2 * covariance, 0.0)
    return np.where(found > ROUNDING**2 * np.add.outer(own, own), found, 0.0)


def joint_level(covariance: Floats, level: float, rng: np.random.Generator) -> float:
    """The level of each pair's interval at which those of all pairs of arms hold together.

    It is the quantile of the least p of all pairs, drawn from normal means of this covariance. The intervals are
    balanced: each is as likely to miss. Source: Beran, Balanced simultaneous confidence sets, 1988.

    >>> joint_level(np.eye(2), 0.05, np.random.default_rng(0))
    0.05
    >>> 0.018 < joint_level(np.eye(3), 0.05, np.random.default_rng(0)) < 0.022
    True
    """
    from scipy.special import ndtr

    first, second = np.triu_indices(len(covariance), 1)
    errors = np.sqrt(_of_differences(covariance)[first, second])
    first, second, errors = first[errors > 0], second[errors > 0], errors[errors > 0]
    if len(first) < 2:
        return level
    values, vectors = np.linalg.eigh(covariance)
    means = rng.standard_normal((DRAWS, len(covariance))) * np.sqrt(np.maximum(values, 0.0)) @ vectors.T
    largest = (np.abs(means[:, first] - means[:, second]) / errors).max(axis=1)
    return min(level, 2 * float(ndtr(-np.quantile(largest, 1 - level))))


@dataclass(frozen=True, eq=False)
class Distances:
    """Simultaneous intervals of the differences of mean loss (arms, arms), row less column, and what follows."""

    low: Floats
    high: Floats

    @property
    def nearest(self) -> Floats:
        """The least (arms,) that each arm may be from the best."""
        return np.asarray(np.maximum(self.low.max(axis=1), 0.0))

    @property
    def furthest(self) -> Floats:
        """The most (arms,) that each arm may be from the best."""
        return np.asarray(np.maximum(self.high.max(axis=1), 0.0))


def distances(found: Spread, *, level: float = LEVEL, seed: int = 0) -> Distances:
    """Intervals of all differences that hold together in all but `level` of the races.

    From them follow bounds of each arm's distance from the best, whichever that is. Source: Hsu, Constrained
    simultaneous confidence intervals for multiple comparisons with the best, 1984.
    """
    from scipy.special import stdtrit

    each = joint_level(found.covariance, level, np.random.default_rng(seed))
    reach = stdtrit(found.freedom, 1 - each / 2) * found.errors
    difference = np.subtract.outer(found.means, found.means)
    difference[np.abs(difference) <= ROUNDING * np.abs(found.means).max()] = 0.0
    np.fill_diagonal(reach, 0.0)
    return Distances(difference - reach, difference + reach)
