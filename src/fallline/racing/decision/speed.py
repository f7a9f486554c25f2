"""How fast each arm gets to a level that the leading arms share, as ratios of steps, paired by seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fallline.racing.decision.choice import Chosen
from fallline.racing.decision.distances import Distances, Spread, distances, spread
from fallline.racing.decision.order_statistics import median_rank
from fallline.racing.decision.records import Floats

REACH = 0.9
"""The share of a leading arm's runs that reach the level."""
SAME_TIME = 1.1
"""Step times within this ratio are equal: where two copies of one optimizer lie in memory alone makes as much."""
CLOCK_LEVEL = 0.001
"""Of what is said of step times, all arms together: a clock's noise is cheap to ask again."""


@dataclass(frozen=True)
class Speed:
    """Steps of an arm over those of the arm that is taken, with the ends of a simultaneous interval.

    Where more runs missed than the level allows a leading arm, the ratio is not known, NaN, and the upper end open,
    infinity.
    """

    ratio: float
    low: float
    high: float
    missed: int


@dataclass(frozen=True)
class Speeds:
    """All arms' speeds by name, to one level of the validation loss, and the steps of the arm that is taken."""

    level: float
    steps: float
    of: dict[str, Speed]


def steps_to(curves: Floats, steps: Floats, level: float) -> tuple[Floats, NDArray[np.bool_]]:
    """Steps (...) to a level on the running best of curves (..., evaluations), and which runs reached it.

    Between evaluations the loss falls by equal shares in equal steps, or by equal amounts where some are not above
    zero. A run that misses counts as having needed all steps, which is more than any other did.

    >>> steps_to(np.array([[4.0, 1.0, 0.5], [4.0, 3.0, 3.5]]), np.array([10.0, 20.0, 30.0]), 2.0)
    (array([15., 30.]), array([ True, False]))
    """
    best = np.minimum.accumulate(np.where(np.isfinite(curves), curves, np.inf), axis=-1)
    reached = best[..., -1] <= level
    at = np.where(reached, (best <= level).argmax(axis=-1), 0)
    heights, goal = (np.log(best), math.log(level)) if level > 0 and (best > 0).all() else (best, level)
    before, after = (
        np.take_along_axis(heights, np.maximum(one, 0)[..., None], axis=-1)[..., 0] for one in (at - 1, at)
    )
    start, end = steps[np.maximum(at - 1, 0)], steps[at]
    between = np.isfinite(before) & (before > after)
    before = np.where(between, before, goal)
    share = np.divide(before - goal, before - after, out=np.ones_like(after), where=between)
    return np.where(reached, start + share * (end - start), steps[-1]), reached


def shared_level(curves: Sequence[Floats]) -> float | None:
    """The best level that nine in ten runs of every arm reach, of curves (seeds, evaluations); None without one.

    >>> shared_level([np.array([[3.0, 1.0]] * 9 + [[3.0, 2.0]]), np.array([[3.0, 1.5], [3.0, 1.0]])])
    1.5
    """
    ends = [np.sort(np.where(np.isfinite(one), one, np.inf).min(axis=1)) for one in curves]
    level = max(float(end[_needed(len(end)) - 1]) for end in ends)
    return level if math.isfinite(level) else None


@dataclass(frozen=True, eq=False)
class Paces:
    """How many steps each arm needs to one level: geometric means, and intervals of the differences of logarithms."""

    names: tuple[str, ...]
    level: float
    steps: Floats
    low: Floats
    high: Floats
    missed: tuple[int, ...]

    def against(self, taken: int) -> Speeds:
        """The ratios to one arm's steps."""
        with np.errstate(over="ignore"):  # what is beyond all numbers is open
            low, high = np.exp(self.low[:, taken]), np.exp(self.high[:, taken])
        ratios = np.where((low > 0) & np.isfinite(high), self.steps / self.steps[taken], np.nan)
        rows = zip(self.names, ratios.tolist(), low.tolist(), high.tolist(), self.missed, strict=True)
        return Speeds(self.level, float(self.steps[taken]), {name: Speed(*rest) for name, *rest in rows})


@dataclass(frozen=True, eq=False)
class LogSteps:
    """The logarithms of the steps that each arm needs to a level, and how many of its runs missed it."""

    level: float
    found: Spread
    missed: tuple[int, ...]
    open: NDArray[np.bool_]  # where more missed than the level allows a leading arm


def log_steps(arms: Sequence[Chosen], steps: ArrayLike, leading: Sequence[int]) -> LogSteps | None:
    """How long each arm takes to the level that the leading arms share; None where there is no such level, or one seed.

    Of the configurations that the arms take: how many steps one needs hangs on its learning rate far more than its loss
    does, and another draw of the trials would move both. Seeds are paired, as for losses.
    """
    at = np.asarray(steps, dtype=np.float64)
    curves = [arm.entrant.curves for arm in arms if arm.entrant.curves is not None]
    if (
        len(curves) < len(arms)
        or at.shape != curves[0].shape[2:]
        or not (np.diff(at, prepend=-1.0) > 0).all()
        or at[0] < 0
    ):
        raise ValueError(
            "steps must be the rising numbers, from 0, of the steps after which every arm's curves were "
            f"evaluated; they are {at.tolist()}."
        )
    own = [one[arm.finalist] for one, arm in zip(curves, arms, strict=True)]
    level = shared_level([own[place] for place in leading])
    seeds = len(own[0])
    if level is None or seeds < 2:
        return None
    logs, missed, nothing = [], [], np.zeros(len(arms))
    for one in own:
        needed, reached = steps_to(one, at, level)
        if not needed.all() or np.median(needed) < at[at > 0][0]:  # before the first evaluation, where nothing was seen
            return None
        logs.append(np.log(needed))
        missed.append(int((~reached).sum()))
    found = spread(np.stack(logs), luck=nothing, trials=nothing)
    return LogSteps(level, found, tuple(missed), np.array(missed) > seeds - _needed(seeds))


def paces(arms: Sequence[Chosen], steps: ArrayLike, *, leading: Sequence[int], confidence: float) -> Paces | None:
    """The steps of each arm to the level that the leading arms share; None where there is no such level, or one seed.

    The intervals hold for all pairs in all but a share `confidence` of the races. An upper end is open where more runs
    missed than the level allows a leading arm.
    """
    logs = log_steps(arms, steps, leading)
    if logs is None:
        return None
    judged, names = distances(logs.found, confidence), tuple(arm.name for arm in arms)
    return paced(names, logs.level, logs.found.means, judged, logs.missed, logs.open)


def paced(
    names: tuple[str, ...],
    level: float,
    logs: Floats,
    judged: Distances,
    missed: tuple[int, ...],
    open_end: NDArray[np.bool_],
) -> Paces:
    """The steps of mean logarithms (arms,), whose differences were judged, with open ends where too many missed."""
    return Paces(
        names, level, np.exp(logs),
        np.where(open_end[None], -np.inf, judged.low), np.where(open_end[:, None], np.inf, judged.high), missed,
    )  # fmt: skip


def in_time(speeds: Speeds, taken: str, rounds: Mapping[str, Sequence[float]]) -> Speeds:
    """How much longer each arm takes than the one that is taken: the ratios of steps times those of a step's time.

    In each of the rounds a step of every arm was timed, so the ratios of a round are paired; the interval of their
    median is that of order statistics, for all arms together at `CLOCK_LEVEL`. It is widened by `SAME_TIME`.

    >>> speeds = Speeds(0.5, 100.0, {"a": Speed(1.0, 1.0, 1.0, 0), "b": Speed(2.0, 1.5, 2.5, 0)})
    >>> in_time(speeds, "a", {"a": [1e-5] * 20, "b": [3e-5] * 20}).of["b"]
    Speed(ratio=6.0, low=4.090..., high=8.25, missed=0)
    """
    own, found = np.asarray(rounds[taken]), {}
    own_level = CLOCK_LEVEL / max(len(speeds.of) - 1, 1)
    for name, speed in speeds.of.items():
        each = np.sort(np.asarray(rounds[name]) / own)
        rank, confidence = median_rank(len(each), own_level)
        sure = confidence >= 1 - own_level
        low, high = (each[rank - 1] / SAME_TIME, each[-rank] * SAME_TIME) if sure else (0.0, math.inf)
        same = name == taken
        ends = (1.0, 1.0) if same else (float(speed.low * low), float(speed.high * high))
        found[name] = Speed(float(speed.ratio * np.median(each)), *ends, speed.missed)
    return Speeds(speeds.level, float(speeds.steps * np.median(own)), found)


def _needed(seeds: int) -> int:
    return math.ceil(REACH * seeds - 1e-9)
