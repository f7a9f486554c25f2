"""The arms as a verdict sees them: their scores as losses, and who is told apart from whom."""

from __future__ import annotations

from dataclasses import dataclass

from fallline.racing.judging.records import Comparison, Entry, Estimate
from fallline.racing.judging.statistics import Floats


@dataclass(frozen=True, eq=False)
class Contender:
    """An entry's scores as losses: lower is better, and diverged ones replaced by the stand-in."""

    entry: Entry
    losses: Floats  # (seeds,) of its best configuration
    score: Estimate  # their mean, in the metric's own orientation
    error: float  # standard error of its loss over the test examples, or over the seeds where those do not split
    study: Floats | None  # (repeats,) with trials and seeds drawn again; None with one finalist
    split: Floats | None  # (repeats,) with test examples drawn again as well

    @property
    def name(self) -> str:
        """The arm's name."""
        return self.entry.name

    @property
    def loss(self) -> float:
        """The mean loss of its best configuration."""
        return float(self.losses.mean())


@dataclass(frozen=True, eq=False)
class Judgement:
    """What was found of all arms: all that the sentence speaks of."""

    standing: list[Contender]  # best first
    fallen: list[str]  # arms that diverged as a whole
    groups: list[list[Contender]]  # each led by its best arm, the others not separated from it
    comparisons: tuple[Comparison, ...]
    sign: float  # -1 where higher is better
    untrained_valid: float | None  # the validation score before training, where it is known
    metric: str
