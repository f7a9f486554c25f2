"""What can be told at all: before a race the smallest gap, after it the seeds that would settle what is open."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fallline.racing.decision.distances import Spread, level_of_each
from fallline.racing.decision.records import LEVEL

POWER = 0.8
MOST_TIMES = 100.0


@dataclass(frozen=True)
class Resolution:
    """The smallest gap between two arms that would be named in 80 % of the races, and what limits it.

    `limited_by` is "seeds", "examples" or "trials"; `endless` is the gap that would be left with endless seeds.
    """

    gap: float
    endless: float
    limited_by: str


def resolution(
    *,
    arms: int,
    seeds: int,
    examples: int | None,
    seed_spread: float,
    example_spread: float = 0.0,
    trial_spread: float = 0.0,
    level: float = LEVEL,
) -> Resolution:
    """What a race of so many arms, seeds and test examples could tell.

    Args:
        arms: How many are raced.
        seeds: How many fresh seeds each runs on, at least two.
        examples: How many test examples there are; None where the metric does not split by example.
        seed_spread: Standard deviation over the seeds of the difference of two arms' scores.
        example_spread: Standard deviation over the examples of that difference, averaged over the seeds.
        trial_spread: Standard deviation of an arm's score over other draws of its trials.
        level: That of all intervals together.

    >>> resolution(arms=2, seeds=10, examples=360, seed_spread=0.01, example_spread=0.1).limited_by
    'examples'
    """
    if seeds < 2 or arms < 2:
        raise ValueError(f"A gap is told between two arms or more over two seeds or more, not {arms} over {seeds}.")
    pair = 1 - np.eye(2)
    found = Spread(
        np.zeros(2), seed_spread**2 / seeds * pair, example_spread**2 / (examples or 1) * pair,
        np.zeros((2, 2)), np.full(2, trial_spread**2), seeds, examples or 1,
    )  # fmt: skip
    each = level_of_each(arms, level)
    gap = _gap(found, each, 1.0)
    return Resolution(gap, min(gap, _gap(found, each, math.inf)), _largest(found))


def _gap(found: Spread, each: float, times: float, pair: tuple[int, int] = (0, 1)) -> float:
    """The gap of a pair that would be named with the power wanted, had there been so many times the seeds."""
    from scipy.special import stdtrit

    freedom, variance = found.freedom(times)[pair], found.variance(times)[pair]
    return float((stdtrit(freedom, 1 - each / 2) + stdtrit(freedom, POWER)) * np.sqrt(variance))


def _largest(found: Spread, pair: tuple[int, int] = (0, 1)) -> str:
    trials = float(found.trials[list(pair)].sum())
    parts = {"seeds": found.seeds[pair], "examples": found.examples[pair], "trials": trials}
    return max(parts, key=lambda name: float(parts[name]))


@dataclass(frozen=True)
class Settling:
    """What would tell two arms apart, if they differ as they seem to.

    `seeds` is how many in all, None where no number of seeds would; `limited_by` then says what does.
    """

    arms: tuple[str, str]
    seeds: int | None
    limited_by: str


def settling(names: tuple[str, str], found: Spread, level: float, pair: tuple[int, int]) -> Settling:
    """How many seeds would settle a pair in four of five races, at most a hundred times those that ran.

    `level` is that of all intervals together, at the look that would then be taken.
    """
    each = level_of_each(len(found.means), level)
    gap = abs(float(found.differences[pair]))
    if gap == 0 or _gap(found, each, MOST_TIMES, pair) > gap:
        rest = {"examples": float(found.examples[pair]), "trials": float(found.trials[list(pair)].sum())}
        endless = _gap(found, each, math.inf, pair)
        return Settling(names, None, max(rest, key=rest.__getitem__) if endless > gap > 0 else "difference")
    least, most = found.n_seeds, math.ceil(MOST_TIMES * found.n_seeds)
    if found.variance()[pair] == 0:  # then signs alone tell
        least = most = max(least, math.ceil(1 - math.log2(each)))
    while least < most:
        middle = (least + most) // 2
        enough = _gap(found, each, middle / found.n_seeds, pair) <= gap
        least, most = (least, middle) if enough else (middle + 1, most)
    return Settling(names, most, _largest(found, pair))


FIRST_LOOK = 0.8
"""The share of the level that the first look spends: most races are looked at once."""


def level_of_look(look: int, level: float = LEVEL) -> float:
    """The level that the look of this number at one race, from 1, may spend, so that all looks together keep to it.

    >>> [round(level_of_look(look), 4) for look in (1, 2, 3)]
    [0.04, 0.0061, 0.0015]
    """
    if look < 1:
        raise ValueError(f"look must be 1 for the first, 2 for the second and so on, not {look}.")
    return FIRST_LOOK * level if look == 1 else (1 - FIRST_LOOK) * level * 6 / (math.pi * (look - 1)) ** 2
