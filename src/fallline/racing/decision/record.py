"""The decision as a record: what to take, what it could cost, and what would tell more."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from fallline.racing.decision.advice import GoodRange
from fallline.racing.decision.resolution import Settling
from fallline.racing.decision.speed import Speeds


@dataclass(frozen=True)
class Take:
    """The arm to take, with its configuration where that is known, and what decided for it.

    `decided_by` is "distance" (the smallest upper end of its distance from the best), among arms alike in that "speed",
    "range" (of good settings) or "bytes", "score" where nothing could be told apart from chance, "alone" where it is
    the only candidate, or "name" where nothing tells the candidates apart.
    """

    arm: str
    configuration: Mapping[str, Any] | None
    decided_by: str


@dataclass(frozen=True)
class Next:
    """What would tell more: a command, or a call in a program, the runs that it adds, and about how many seconds."""

    command: str
    runs: int
    seconds: float


@dataclass(frozen=True)
class Counts:
    """How much was run."""

    seeds: int
    examples: int | None
    trials: int  # of the arm that was searched most, 0 where none was


@dataclass(frozen=True)
class Decision:
    """What a race, or runs from anywhere, come to. Distances are in the metric's unit, from 0 for the best upwards.

    Attributes:
        take: What to take; None where every arm diverged.
        at_most_below_best: The most that `take` is below whichever arm is best; None where that can't be told.
        split_alone: What that would be with endless seeds and trials, as the test examples alone leave it open; None
            where scores do not split by example.
        winner: The only arm whose distance is within the margin for certain; None where there is none, or where an arm
            can't be compared of which some runs are sound.
        distances: Every arm's least and greatest distance from the best; None for arms that can't be compared.
        behind: The arms that are behind for certain, with the least distance.
        tied: The arms that are neither the winner nor behind.
        scores: The mean test score of each arm that has one.
        speeds: Steps to a shared level against those of `take`; None where none were kept or they say little.
        seconds: The same in time, where clocks tell the arms apart; None where no steps were timed.
        rates: The range of the one searched setting that does as well as the one taken.
        diverged: Arms of whose final runs some diverged, with how many.
        apart: Arms that can't be compared, because they diverged.
        settling: What would settle whether `take` or its closest rival is better; None where nothing is open.
        next: How to go on; None where nothing is open, or going on would not settle it.
        whole: Whether other draws of the trials are included: not where an arm that was searched has one finalist.
        level: The share of races in which some interval may fail.
        margin: The difference that does not matter.
        metric: What the scores are called.
        higher_is_better: Whether scores are better the higher they are.
        counts: How much was run.
        notes: What else limits this, in sentences.
        keep: Whether `take` is a setting that was given, beside arms that were searched.
        gains: What `take` gains, at least and at most, over each setting that was given beside arms that were searched;
            below 0 it is a loss.
        families: The family of each arm that has one, such as Adam.
        lines: All of it in short sentences.
    """

    take: Take | None
    at_most_below_best: float | None
    split_alone: float | None
    winner: str | None
    distances: Mapping[str, tuple[float, float] | None]
    behind: Mapping[str, float]
    tied: tuple[str, ...]
    scores: Mapping[str, float]
    speeds: Speeds | None
    rates: GoodRange | None
    diverged: Mapping[str, int]
    apart: tuple[str, ...]
    settling: Settling | None
    level: float
    margin: float
    metric: str
    higher_is_better: bool
    counts: Counts
    notes: tuple[str, ...]
    whole: bool = True
    seconds: Speeds | None = None
    next: Next | None = None
    keep: bool = False
    gains: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    families: Mapping[str, str] = field(default_factory=dict)
    lines: tuple[str, ...] = ()

    @property
    def ranking(self) -> tuple[str, ...]:
        """The arms: the one to take, then by how far each may be from the best; those that can't be compared last."""
        return tuple(sorted(self.distances, key=self._rank))

    def _rank(self, name: str) -> tuple[float, ...]:
        taken, ends = self.take is not None and self.take.arm == name, self.distances[name]
        score = self.scores.get(name, -math.inf if self.higher_is_better else math.inf)
        loss = -score if self.higher_is_better else score
        return not taken, name in self.apart, math.inf if ends is None else ends[1], loss

    def __str__(self) -> str:
        return "\n".join(self.lines)

    def to_json(self) -> dict[str, Any]:
        """The record in what JSON knows: mappings, lists, texts and finite numbers; open ends are None.

        `speed` and `speed_seconds` hold a ratio and its ends for each arm. A clock had a say in `speed_seconds` and in
        the seconds of `next` alone.
        """
        told_apart = ("speeds", "seconds", "lines")
        found = {name: value for name, value in asdict(self).items() if name not in told_apart}
        found |= {"speed": ratios(self.speeds), "speed_seconds": ratios(self.seconds), "ranking": self.ranking}
        found["speed_level"] = None if self.speeds is None else self.speeds.level
        found["speed_missed"] = (
            {} if self.speeds is None else {name: one.missed for name, one in self.speeds.of.items()}
        )
        return {name: plain(value) for name, value in found.items()}


def ratios(speeds: Speeds | None) -> dict[str, list[float]]:
    """Each arm's ratio with its ends."""
    return {} if speeds is None else {name: [one.ratio, one.low, one.high] for name, one in speeds.of.items()}


def plain(value: Any) -> Any:
    """A value in what JSON knows; numbers that are not finite are None."""
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool | None) else str(value)
