"""One run of a race: what is trained, several together, what it came to, and how fast it got to a target."""

from __future__ import annotations

import math
import statistics
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fallline.training import (
    BatchedLanes,
    Lanes,
    Problem,
    ProblemError,
    SequentialLanes,
    first_line,
    train,
    train_in_parts,
)
from fallline.training.updates import LaneRule, LaneUpdate

if TYPE_CHECKING:
    from fallline.racing.arms import Arm


@dataclass(frozen=True)
class Run:
    """One lane to train.

    Args:
        arm: The name of the arm that it is for.
        configuration: What was searched, by name.
        seed: What settles the weights and the batches.
        lane: What moves the weights.
        batch: Examples of a batch.
        steps: How long.
    """

    arm: str
    configuration: Mapping[str, Any]
    seed: int
    lane: LaneRule
    batch: int
    steps: int


def run_of(arm: Arm, point: Mapping[str, Any], problem: Problem, seed: int, part: int = 1) -> Run:
    """The run of one configuration from one seed, for one part in so many of the problem's steps."""
    recipe = arm.recipe(point, problem, (1, part))
    return Run(arm.name, point, seed, recipe.lane, recipe.batch, recipe.steps)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one run came to, at P points of its training, which are as in `fallline.training.Curves`.

    Args:
        steps: Steps done at each point, shape (P,).
        samples: Examples used by then, shape (P,).
        train_loss: Loss on the training split, shape (P,).
        valid_loss: Loss on the validation split, shape (P,).
        valid_metric: Metric on the validation split, shape (P,).
        diverged_at: The step whose loss was out of bounds, or -1.
        score: The metric on the test split; NaN where the run diverged or was not scored there.
        examples: Each test example's share in it, shape (n,); None where there is no score or it is no mean of shares.
        model: The network at the end; None unless it was asked for, and where the run diverged.
    """

    steps: NDArray[np.int64]
    samples: NDArray[np.int64]
    train_loss: NDArray[np.float64]
    valid_loss: NDArray[np.float64]
    valid_metric: NDArray[np.float64]
    diverged_at: int
    score: float = float("nan")
    examples: NDArray[np.float64] | None = None
    model: nn.Module | None = None

    @property
    def diverged(self) -> bool:
        """Whether the run diverged."""
        return self.diverged_at >= 0


@dataclass(frozen=True)
class Job:
    """Runs that are trained together: of one batch size and one number of steps, side by side or in turn."""

    runs: tuple[Run, ...]
    batched: bool
    score: bool
    models: bool = False

    @property
    def steps(self) -> int:
        """Steps of all runs."""
        return sum(run.steps for run in self.runs)


@dataclass(frozen=True)
class Work:
    """Runs that are to be trained.

    Args:
        runs: By number.
        batched: Whether runs of one batch size and length are trained side by side.
        score: Whether they are evaluated on the test split as well.
        width: The most runs of a job.
        seconds: Those of a processor that a step of one run takes, about.
        wanted: Asked before a job begins: those of these numbers that are still missing.
        models: Whether outcomes are to hold them.
    """

    runs: Mapping[int, Run]
    batched: bool
    score: bool
    width: int
    seconds: float
    wanted: Callable[[list[int]], list[int]]
    models: bool = False

    def job(self, numbers: Sequence[int]) -> Job:
        """The job of some runs, which share their batch size and length."""
        return Job(tuple(self.runs[number] for number in numbers), self.batched, self.score, self.models)


@dataclass(frozen=True)
class Progress:
    """How far training has come.

    Args:
        steps: Run-steps that are done.
        busy: Seconds of a processor that they took, all processes together.
        waited: Seconds for which processes had to wait for a processor, since other work had it.
    """

    steps: int = 0
    busy: float = 0.0
    waited: float = 0.0

    def __add__(self, other: Progress) -> Progress:
        return Progress(self.steps + other.steps, self.busy + other.busy, self.waited + other.waited)


Tell = Callable[[Progress], None]
Result = TypeVar("Result")


def alike(runs: Mapping[int, Run]) -> list[list[int]]:
    """The numbers of runs of one batch size and length, which can be trained together; the longest come first."""
    found: dict[tuple[int, int], list[int]] = {}
    for number, run in runs.items():
        found.setdefault((run.steps, run.batch), []).append(number)
    return [found[kind] for kind in sorted(found, reverse=True)]


def train_job(problem: Problem, job: Job, tell: Callable[[int], None]) -> list[Outcome]:
    """Train the runs of a job and return their outcomes in order; `tell` is called with the run-steps done so far."""

    def train_part(runs: Sequence[Run], done: int) -> list[Outcome]:
        steps = runs[0].steps

        def trained(lanes: Lanes, update: LaneUpdate) -> list[Outcome]:
            curves = train(lanes, update, steps=steps, progress=lambda step, _: tell(done * steps + step * len(runs)))
            scores = _scores(lanes, update, steps) if job.score else {}
            models = _models(lanes, update) if job.models else {}
            return [
                Outcome(
                    curves.steps,
                    curves.samples,
                    curves.train_loss[lane],
                    curves.valid_loss[lane],
                    curves.valid_metric[lane],
                    int(curves.diverged_at[lane]),
                    *scores.get(lane, (math.nan, None)),
                    models.get(lane),
                )
                for lane in range(len(runs))
            ]

        return in_turn_if_need_be(problem, runs, job.batched, trained)

    return train_in_parts(job.runs, train_part)


def in_turn_if_need_be(
    problem: Problem, runs: Sequence[Run], batched: bool, train: Callable[[Lanes, LaneUpdate], Result]
) -> Result:
    """Train runs side by side, and begin again in turn where they turn out, on the way, not to go side by side."""
    try:
        return train(*population(problem, runs, batched))
    except ProblemError as error:
        if not batched:
            raise
        why = first_line(error)
    result = train(*population(problem, runs, False))  # where that fails as well, batching was not the reason
    warnings.warn(f"Runs were begun again and trained in turn, since they can't be batched: {why}.", stacklevel=2)
    return result


def population(problem: Problem, runs: Sequence[Run], batched: bool) -> tuple[Lanes, LaneUpdate]:
    """The lanes of these runs, which share their batch size, and what moves them."""
    kind = BatchedLanes if batched else SequentialLanes  # however few: their numbers must not hang on how many they are
    lanes = kind(problem.with_batch(runs[0].batch), [run.seed for run in runs])
    return lanes, LaneUpdate(lanes.parameters, [run.lane for run in runs], [run.seed for run in runs])


def _scores(lanes: Lanes, update: LaneUpdate, steps: int) -> dict[int, tuple[float, NDArray[np.float64] | None]]:
    """The metric on the test split, and each example's share in it, of the lanes that are left."""
    test = lanes.problem.test
    if test is None or not len(lanes):
        return {}
    with update.evaluated(lanes.parameters):
        quality = lanes.evaluate(test, examples=True, step=steps)
    shares = [None] * len(lanes) if quality.example_metric is None else quality.example_metric.numpy()
    return dict(zip(lanes.index.tolist(), zip(quality.metric.tolist(), shares, strict=True), strict=True))


def _models(lanes: Lanes, update: LaneUpdate) -> dict[int, nn.Module]:
    """The networks of the lanes that are left."""
    with update.evaluated(lanes.parameters):
        return {first: lanes.module(lane) for lane, first in enumerate(lanes.index.tolist())}


_RUNGS = 6


@dataclass(frozen=True)
class Reached:
    """One goal: how many of the runs reached it, and the median effort of all runs, misses ranked last.

    Args:
        goal: The value of the metric, or the loss, to get to.
        reached: How many runs did.
        runs: Of how many.
        steps: The median; None where half the runs or more missed, so that no number is made up for them.
        samples: The examples used by then.
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
