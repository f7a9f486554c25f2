"""The goal that the arms of one problem are timed to, and who reached it how fast."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fallline.racing.progress_to_target import Reached, goal_reached
from fallline.racing.result import RaceResult
from fallline.racing.runs import Outcome

#: What may be left of the way from the untrained model's loss to the best one: τ in the convergence test.
SHARE_LEFT = 0.1


@dataclass(frozen=True)
class Goal:
    """A value of `metric` on the validation split: the problem's own target where `given`, else a loss."""

    problem: str
    metric: str
    value: float
    higher_is_better: bool
    given: bool

    def reached_by(self, runs: Sequence[Outcome]) -> Reached:
        """How many runs of one configuration met it, and the median steps to the first evaluation that did."""
        return goal_reached(self.value, runs, self._met)

    def _met(self, run: Outcome) -> NDArray[np.bool_]:
        """At which points of its training a run meets the goal."""
        values = run.valid_metric if self.given else run.valid_loss
        return np.asarray(values >= self.value if self.higher_is_better else values <= self.value)


def common_goal(result: RaceResult) -> Goal:
    """The goal of a race: the problem's target, or the convergence test L ≤ L_best + τ (L_untrained - L_best).

    L is the validation loss, L_best the lowest that any arm's best configuration came to at its median seed, and τ is
    `SHARE_LEFT`. So at least one arm meets it, unless none improved on the untrained model. Source: Moré and Wild,
    Benchmarking derivative-free optimization algorithms, 2009.
    """
    protocol = result.protocol
    if protocol["target"] is not None:
        higher = protocol["higher_is_better"]
        return Goal(protocol["problem"], protocol["metric"], float(protocol["target"]), higher, given=True)
    untrained = protocol["untrained_loss"]
    lowest = [statistics.median_high(map(_lowest_loss, arm.finals[0])) for arm in result.arms]
    best = min([loss for loss in lowest if loss < math.inf], default=untrained)
    return Goal(protocol["problem"], "loss", best + SHARE_LEFT * (untrained - best), False, given=False)


def _lowest_loss(run: Outcome) -> float:
    trained = run.valid_loss[run.steps > 0]
    return math.inf if run.diverged or not len(trained) else float(trained.min())
