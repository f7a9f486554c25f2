"""How fast an arm got where: steps and samples to a target, or to each rung of a ladder of losses."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fallline.racing.runs import Outcome
from fallline.training import Problem

_RUNGS = 6


@dataclass(frozen=True)
class Reached:
    """One goal: how many of the runs reached it, and the median effort of all runs, misses ranked last.

    The medians are None where half the runs or more missed, so no number is made up for them.
    """

    goal: float
    reached: int
    runs: int
    steps: int | None
    samples: int | None


def ladder(untrained_loss: float) -> tuple[float, ...]:
    """The fixed rungs: the untrained validation loss halved again and again; none if it is not positive.

    >>> ladder(2.0)[:3]
    (1.0, 0.5, 0.25)
    """
    return tuple(untrained_loss / 2**rung for rung in range(1, _RUNGS + 1)) if untrained_loss > 0 else ()


def reached(problem: Problem, finals: Sequence[Outcome], untrained_loss: float) -> list[Reached]:
    """For some runs of one configuration: the target by the metric, or, without one, the ladder by validation loss."""
    if problem.target is not None:
        target, sign = problem.target, 1.0 if problem.metric.higher_is_better else -1.0
        return [goal_reached(target, finals, lambda run: sign * run.valid_metric >= sign * target)]
    return [
        goal_reached(rung, finals, lambda run, rung=rung: run.valid_loss <= rung)  # type: ignore[misc]
        for rung in ladder(untrained_loss)
    ]


def goal_reached(goal: float, runs: Sequence[Outcome], there: Callable[[Outcome], NDArray[np.bool_]]) -> Reached:
    """The median effort to the first point of each run where it is `there`: after some step, and of a sound run."""
    met = [there(run) & (run.steps > 0) & (not run.diverged) for run in runs]
    points = [int(row.argmax()) if row.any() else math.inf for row in met]
    middle = statistics.median_high(points)
    hits = sum(point < math.inf for point in points)
    if middle == math.inf:
        return Reached(goal, hits, len(points), None, None)
    longest = max(runs, key=lambda run: len(run.steps))
    return Reached(goal, hits, len(points), int(longest.steps[int(middle)]), int(longest.samples[int(middle)]))
