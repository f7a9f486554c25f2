"""How fast an arm got where: steps, samples and seconds to a target, or to each rung of a ladder of losses."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fallline.training import Curves, Problem

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
    seconds: float | None


def ladder(untrained_loss: float) -> tuple[float, ...]:
    """The fixed rungs: the untrained validation loss halved again and again; none if it is not positive.

    >>> ladder(2.0)[:3]
    (1.0, 0.5, 0.25)
    """
    return tuple(untrained_loss / 2**rung for rung in range(1, _RUNGS + 1)) if untrained_loss > 0 else ()


def reached(problem: Problem, curves: Curves, rows: list[int], untrained_loss: float, seconds: float) -> list[Reached]:
    """For some runs (rows of the curves): the target by the metric, or, without one, the ladder by validation loss."""
    if problem.target is not None:
        sign = 1.0 if problem.metric.higher_is_better else -1.0
        return [_goal(problem.target, sign * curves.valid_metric[rows] >= sign * problem.target, curves, seconds)]
    return [_goal(rung, curves.valid_loss[rows] <= rung, curves, seconds) for rung in ladder(untrained_loss)]


def _goal(goal: float, there: NDArray[np.bool_], curves: Curves, seconds: float) -> Reached:
    points = [int(row.argmax()) if row.any() else math.inf for row in there]
    middle = statistics.median_high(points)
    hits = sum(point < math.inf for point in points)
    if middle == math.inf:
        return Reached(goal, hits, len(points), None, None, None)
    steps, samples = int(curves.steps[int(middle)]), int(curves.samples[int(middle)])
    return Reached(goal, hits, len(points), steps, samples, steps * seconds)
