"""What a race measured and what it concluded, as frozen records."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fallline.racing.arms import Dimension
from fallline.racing.decision import LARGEST_SCORE, LEVEL, median_rank


@dataclass(frozen=True)
class Estimate:
    """A value with the ends of its 95 % confidence interval, NaN where there is too little for one."""

    value: float
    low: float
    high: float

    @property
    def has_interval(self) -> bool:
        """Whether there was enough for one."""
        return not math.isnan(self.low)

    def times(self, factor: float) -> Estimate:
        """The same in another unit, or of so many: all of it times a factor above zero."""
        return Estimate(factor * self.value, factor * self.low, factor * self.high)


def median_estimate(values: Sequence[float]) -> Estimate:
    """The median of values with its interval by order statistics (`median_rank`).

    >>> median_estimate([3.0, 1.0, 2.0, 5.0, 4.0, 6.0]), median_estimate([3.0])
    (Estimate(value=3.5, low=1.0, high=6.0), Estimate(value=3.0, low=nan, high=nan))
    """
    ascending = sorted(values)
    rank, confidence = median_rank(len(ascending))
    ends = (ascending[rank - 1], ascending[-rank]) if confidence >= 1 - LEVEL else (math.nan, math.nan)
    return Estimate(float(np.median(ascending)), *ends)


@dataclass(frozen=True)
class Trial:
    """One tuning run: its point in the search space and the validation score found there.

    `score` is in the metric's own orientation; it may be anything, even NaN, when the run diverged. Where trials were
    halved it is that of the trial's longest run, and `early` that of the shortest, which all trials had.

    >>> Trial({"lr": 10.0}, math.nan, diverged=False).usable
    False
    """

    configuration: Mapping[str, Any]
    score: float
    diverged: bool
    early: float | None = None

    @property
    def comparable(self) -> float | None:
        """The score of a run as long as every other trial's; None where it is not usable."""
        if self.early is None:
            return self.score if self.usable else None
        return self.early if abs(self.early) <= LARGEST_SCORE else None

    @property
    def usable(self) -> bool:
        """Whether the score may enter a statistic: not diverged, finite and of a sane size."""
        return not self.diverged and abs(self.score) <= LARGEST_SCORE


@dataclass(frozen=True, eq=False)
class Final:
    """One configuration on fresh seeds, scored on the test split.

    `trial` indexes the arm's trials. `scores` (seeds,) and `diverged` (seeds,) have one column a seed, and column s is
    the same seed for every arm.

    >>> Final(3, np.array([0.5, 0.7]), np.array([False, True])).usable
    array([ True, False])
    """

    trial: int
    scores: NDArray[np.float64]
    diverged: NDArray[np.bool_]

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Which seeds' scores (seeds,) may enter a statistic: not diverged, finite and of a sane size."""
        return np.asarray(~self.diverged & (np.abs(self.scores) <= LARGEST_SCORE))


@dataclass(frozen=True, eq=False)
class Entry:
    """One arm's outcome: all its trials, and the finals of its best ones, those of the configuration it takes first.

    `space` gives each searched dimension; where nothing is searched there is one trial that stands for the one
    configuration and was not run. `bytes_per_parameter` is what a step moves (NaN when not known),
    `step_seconds` the time of one step alone in each round of measuring, or one number.

    Raises ValueError when a final names no trial or one twice, when the finals differ in seeds, or when a trial lacks a
    searched dimension.

    >>> trials = tuple(Trial({"lr": lr}, score, False) for lr, score in [(0.1, 0.4), (1.0, 0.3)])
    >>> final = Final(1, np.array([0.3, 0.4]), np.array([False, False]))
    >>> from fallline.racing.arms import Range
    >>> Entry("sgd", trials, (final,), {"lr": Range(1e-4, 10.0)}, 12.0, 2e-5).diverged
    False
    """

    name: str
    trials: tuple[Trial, ...]
    finals: tuple[Final, ...]
    space: Mapping[str, Dimension]
    bytes_per_parameter: float
    step_seconds: float | Sequence[float]

    def __post_init__(self) -> None:
        named = [final.trial for final in self.finals]
        if not named or len(set(named)) < len(named) or not set(named) <= set(range(len(self.trials))):
            raise ValueError(
                f"The finals of arm {self.name!r} must name different trials among its {len(self.trials)}, "
                f"at least one; they name {named}."
            )
        if len({len(final.scores) for final in self.finals}) > 1:
            raise ValueError(f"The finals of arm {self.name!r} must all have the same seeds.")
        if not all(set(self.space) <= set(trial.configuration) for trial in self.trials):
            raise ValueError(f"Every trial of arm {self.name!r} must have a value for each of {sorted(self.space)}.")
        times = self.step_rounds
        if not times or not all(math.isfinite(seconds) and seconds >= 0 for seconds in times):
            raise ValueError(f"step_seconds of arm {self.name!r} must be at least 0, not {self.step_seconds}.")

    @property
    def step_rounds(self) -> tuple[float, ...]:
        """Seconds of a step alone in each round of measuring."""
        times = self.step_seconds
        return tuple(times) if isinstance(times, Sequence) else (times,)

    @property
    def step_time(self) -> Estimate:
        """The median of the rounds, with its interval."""
        return median_estimate(self.step_rounds)

    @property
    def searched(self) -> bool:
        """Whether anything is; if not, its one trial says nothing."""
        return bool(self.space)

    @property
    def diverged(self) -> bool:
        """Whether the arm as a whole diverged: no run of the configuration that it takes is usable."""
        return not self.finals[0].usable.any()
