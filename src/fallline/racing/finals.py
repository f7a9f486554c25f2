"""Finals: each arm's best configurations on fresh seeds that all arms share, scored on the test split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from fallline.racing.arms.arm import Arm
from fallline.racing.judging.records import Final
from fallline.racing.runs import Outcome, Run
from fallline.racing.stages import Stages
from fallline.racing.tuning import Tuned, run_of
from fallline.training import Problem

#: By arm, finalist (the best by validation first) and seed.
Finals = Mapping[str, tuple[tuple[Outcome, ...], ...]]


def run_finals(
    stages: Stages,
    arms: Sequence[Arm],
    tuned: Mapping[str, Tuned],
    chosen: Mapping[str, Sequence[int]],
    seeds: Sequence[int],
) -> Finals:
    """Run the chosen trials' configurations on every seed."""
    points = {name: [tuned[name].points[index] for index in indices] for name, indices in chosen.items()}
    outcomes = iter(stages.train("finals", final_runs(stages.problem, arms, points, seeds), score=True))
    return {arm.name: tuple(tuple(next(outcomes) for _ in seeds) for _ in chosen[arm.name]) for arm in arms}


def final_runs(
    problem: Problem, arms: Sequence[Arm], points: Mapping[str, Sequence[Mapping[str, Any]]], seeds: Sequence[int]
) -> list[Run]:
    """The runs of these configurations, arm by arm, on every seed."""
    return [run_of(arm, point, problem, seed) for arm in arms for point in points[arm.name] for seed in seeds]


def as_final(index: int, runs: Sequence[Outcome], examples: int | None) -> Final:
    """One configuration's outcomes as the verdict sees them; `examples` of the test split share in a score, or None."""
    shares = None
    if examples is not None:
        none = np.full(examples, np.nan)
        shares = np.stack([none if run.examples is None else run.examples for run in runs])
    return Final(index, np.array([run.score for run in runs]), np.array([run.diverged for run in runs]), shares)


def sharing(runs: Iterable[Outcome]) -> int | None:
    """How many examples share in the scores; None where the metric is no mean over them.

    A run that diverged tells nothing of it, and where there is one example alone, no other can be drawn.
    """
    told = [run.examples for run in runs if not run.diverged]
    shares = [examples for examples in told if examples is not None]
    return len(shares[0]) if shares and len(shares) == len(told) and len(shares[0]) > 1 else None
