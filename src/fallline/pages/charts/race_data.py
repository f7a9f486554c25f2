"""A race read back from its plain data, and medians over its seeds: what charts and report are computed from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fallline.racing import Reached
from fallline.racing.arms import from_json
from fallline.racing.decision import median_rank
from fallline.racing.judging import Entry, Estimate, Final, Trial

Array = NDArray[np.float64]

#: What no chart and no page can do without.
_PROTOCOL = ("problem", "metric", "higher_is_better", "untrained_loss", "untrained_score", "steps", "batch", "epochs",
             "trials_per_arm", "finalists", "seeds")  # fmt: skip
_DECISION = ("take", "distances", "behind", "apart", "margin", "ranking", "speed")


@dataclass(frozen=True, eq=False)
class Runs:
    """The curves of one configuration on S seeds at P points: `steps` and `samples` [P], the others [S, P].

    NaN where a run had diverged or its value was no finite number; `diverged` [S] says which runs did.
    """

    steps: NDArray[np.int64]
    samples: NDArray[np.int64]
    train_loss: Array
    valid_loss: Array
    valid_metric: Array
    diverged: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ArmData:
    """One arm: its trials and finals, and the curves of the configuration that it takes.

    `trial_samples` are the examples that each trial was to see; `best` holds the configuration that it takes, what
    stood fixed and its code, and is None where the arm diverged. An arm of which nothing was searched has no trials
    worth looking at.
    """

    entry: Entry
    score: Estimate | None
    reached: tuple[Reached, ...]
    runs: Runs
    trial_samples: tuple[int, ...]
    best: Mapping[str, Any] | None

    @property
    def name(self) -> str:
        """The arm's name."""
        return self.entry.name

    def setting(self, name: str) -> Any:
        """The value of a hyperparameter in the configuration that it takes, searched or fixed; None where unknown."""
        searched = self.entry.trials[self.entry.finals[0].trial].configuration
        return {**({} if self.best is None else self.best["fixed"]), **searched}.get(name)


@dataclass(frozen=True, eq=False)
class RaceData:
    """A race: its arms, the one to take first, and the rest as `RaceResult.to_json` gives it."""

    arms: tuple[ArmData, ...]
    protocol: Mapping[str, Any]
    decision: Mapping[str, Any]
    warnings: tuple[str, ...]
    occasion: Mapping[str, Any]

    @property
    def taken(self) -> str | None:
        """The arm to take; None where every arm diverged."""
        return None if self.decision["take"] is None else str(self.decision["take"]["arm"])

    @property
    def lines(self) -> tuple[str, ...]:
        """The decision in sentences: what to take first, the limits last."""
        return tuple(map(str, self.occasion["lines"]))

    @property
    def metric(self) -> str:
        """What the runs are scored by."""
        return str(self.protocol["metric"])

    @property
    def dimensions(self) -> list[str]:
        """All that was searched, the learning rate first."""
        names = dict.fromkeys(name for arm in self.arms for name in arm.entry.space)
        return sorted(names, key=lambda name: name != "lr")

    @property
    def higher_is_better(self) -> bool:
        """Whether a high score is a good one."""
        return bool(self.protocol["higher_is_better"])

    @property
    def untrained(self) -> float:
        """The metric of the model before training."""
        return number(self.protocol["untrained_score"])

    @property
    def untrained_loss(self) -> float:
        """The validation loss of the model before training."""
        return number(self.protocol["untrained_loss"])


def read_race(data: Mapping[str, Any]) -> RaceData:
    """Read the plain data of a race, as `RaceResult.to_json` gives it and a storage keeps it.

    Raises ValueError, in a sentence, for what isn't that.

    >>> read_race({})
    Traceback (most recent call last):
    ValueError: the data must be those of a finished race, as RaceResult.to_json gives them; 'protocol' is missing.
    """
    try:
        protocol, decision, occasion = data["protocol"], data["decision"], data["occasion"]
        seconds = {name: [float(one)] for name, one in occasion["step_seconds"].items()}
        seconds.update(occasion.get("step_seconds_by_round", {}))
        arms = tuple(_arm(arm, seconds[arm["name"]]) for arm in data["arms"])
        race = RaceData(arms, protocol, decision, tuple(data["warnings"]), occasion)
        for part, names in ((protocol, _PROTOCOL), (decision, _DECISION)):
            for name in names:
                part[name]
        if not arms:
            raise ValueError("there are no arms")
        if not race.lines:
            raise ValueError("'lines' are missing")
    except KeyError as error:
        problem = f"{error} is missing"
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        problem = str(error).rstrip(".")
    else:
        return race
    raise ValueError(f"the data must be those of a finished race, as RaceResult.to_json gives them; {problem}.")


def number(value: Any) -> float:
    """A number of the data, where NaN and infinities are None."""
    return math.nan if value is None else float(value)


def _arm(arm: Mapping[str, Any], step_seconds: Sequence[float]) -> ArmData:
    statistics, finals = arm["statistics"], arm["finals"]
    trials = arm["trials"] if arm["space"] else []
    entry = Entry(
        arm["name"],
        tuple(Trial(trial["configuration"], number(trial["score"]), trial["diverged"]) for trial in trials)
        or (Trial({}, math.nan, diverged=False),),  # stands for the one configuration where nothing was searched
        tuple(Final(one["trial"], _numbers(one["scores"]), np.array(one["diverged"])) for one in finals),
        {name: from_json(dimension) for name, dimension in arm["space"].items()},
        number(statistics["bytes_per_parameter"]),
        tuple(map(float, step_seconds)),
    )
    score = statistics["score"]
    return ArmData(
        entry,
        None if score is None else Estimate(**{end: number(score[end]) for end in ("value", "low", "high")}),
        tuple(Reached(**goal) for goal in statistics["reached"]),
        _runs(finals[0]),
        tuple(int(trial["curves"]["samples"][-1]) for trial in trials),
        arm["best"],
    )


def _runs(final: Mapping[str, Any]) -> Runs:
    curves = final["curves"]
    train_loss, valid_loss, valid_metric = (
        _numbers([run[name] for run in curves]) for name in ("train_loss", "valid_loss", "valid_metric")
    )
    return Runs(
        np.array(curves[0]["steps"], np.int64),
        np.array(curves[0]["samples"], np.int64),
        train_loss,
        valid_loss,
        valid_metric,
        np.array(final["diverged"], np.bool_),
    )


def _numbers(values: Any) -> Array:
    """Numbers of the data, with NaN for None."""
    return np.array(values, np.float64)


#: With fewer seeds there is no median worth the name: the runs themselves are shown.
FEWEST_SEEDS = 3


@dataclass(frozen=True, eq=False)
class Median:
    """The median [P] over S seeds and the ends [P] of its interval, which are the `rank`-th best and worst seeds.

    Infinite where a run without a number takes the place. `confidence` is how likely that interval covers the true
    median, whatever the distribution.
    """

    value: Array
    low: Array
    high: Array
    rank: int
    confidence: float


def median(values: Array, *, higher_is_better: bool) -> Median:
    """The median of values [S, P] over the seeds. What is NaN ranks as worse than any number.

    The interval is that of order statistics (`median_rank`), exact for any distribution.

    >>> found = median(np.arange(10.0)[:, None], higher_is_better=False)
    >>> found.value.tolist(), found.low.tolist(), found.high.tolist(), found.rank, round(found.confidence, 3)
    ([4.5], [1.0], [8.0], 2, 0.979)
    """
    worst = -np.inf if higher_is_better else np.inf
    ascending = np.sort(np.where(np.isfinite(values), values, worst), axis=0)
    seeds = len(ascending)
    rank, confidence = median_rank(seeds)
    middle = (ascending[(seeds - 1) // 2] + ascending[seeds // 2]) / 2
    return Median(middle, ascending[rank - 1], ascending[seeds - rank], rank, confidence)
