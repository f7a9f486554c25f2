"""Means over several problems, and how far they are to be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fallline.racing.decision.distances import TRIAL_FREEDOM, Spread
from fallline.racing.decision.records import Floats


@dataclass(frozen=True, eq=False)
class Part:
    """What one problem adds to a mean over problems: its spread, in which unit, and the seed that drew its trials."""

    spread: Spread
    unit: float
    seed: int


@dataclass(frozen=True, eq=False)
class MeanOver:
    """Means over problems: their differences, variances and degrees of freedom.

    Seeds and examples of one problem have nothing to do with those of another. Neither have trials of different seeds;
    but races of one seed try the same points on every problem, and luck with them may be the same on all, so that its
    deviations add up. (Added as variances, six equal arms had one falsely behind in a fifth of the cases on six
    problems alike.)
    """

    parts: Sequence[Part]

    @property
    def n_seeds(self) -> int:
        """Of the problem that has the fewest."""
        return min(one.spread.n_seeds for one in self.parts)

    @property
    def differences(self) -> Floats:
        """Of the means, row less column."""
        return np.asarray(np.mean([one.spread.differences / one.unit for one in self.parts], axis=0))

    def variance(self) -> Floats:
        """Of the differences."""
        own = np.add.outer(sum(self._trials), sum(self._trials))
        return np.asarray(sum(self._apart) + np.where(np.eye(len(own), dtype=bool), 0.0, own))

    def freedom(self) -> Floats:
        """Satterthwaite's degrees of freedom of that variance."""
        own = sum(one**2 for one in self._trials) / TRIAL_FREEDOM
        squares = np.add.outer(own, own) + sum(
            variance**2 / one.freedom() for variance, one in zip(self._apart, self._without_trials, strict=True)
        )
        fewest, variance = np.min([one.spread.freedom() for one in self.parts], axis=0), self.variance()
        return np.asarray(np.divide(variance**2, squares, out=fewest, where=(variance > 0) & (squares > 0)))

    @property
    def _without_trials(self) -> list[Spread]:
        return [replace(one.spread, trials=np.zeros_like(one.spread.trials)) for one in self.parts]

    @property
    def _apart(self) -> list[Floats]:
        """What each problem's seeds and examples add to the variances."""
        spreads = zip(self._without_trials, self.parts, strict=True)
        return [one.variance() / (part.unit * len(self.parts)) ** 2 for one, part in spreads]

    @property
    def _trials(self) -> list[Floats]:
        """Variances (arms,) of the mean over other draws of the trials of each seed."""
        deviations: dict[int, Floats] = {}
        for one in self.parts:
            own = np.sqrt(one.spread.trials) / (one.unit * len(self.parts))
            deviations[one.seed] = deviations.get(one.seed, np.zeros_like(own)) + own
        return [one**2 for one in deviations.values()]
