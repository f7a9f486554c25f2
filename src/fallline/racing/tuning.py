"""Tuning and finals: every arm tries equally many points, and its best run on fresh seeds that all arms share."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fallline.racing.arms import Arm, Range
from fallline.racing.effort import Cost, Effort, budget_of
from fallline.racing.judging import Trial
from fallline.racing.runs import Outcome, Run, run_of
from fallline.racing.search import near_places, only_range, propose, rungs, sobol_points, wide_places
from fallline.racing.stages import Stages
from fallline.training import Problem

Points = list[dict[str, Any]]
#: By arm, finalist (the best by validation first) and seed.
Finals = Mapping[str, tuple[tuple[Outcome, ...], ...]]


#: Trials from which two stages find better rates than one: of fewer the first are too far apart (benchmarks/rates.py).
_TWO_STAGES = 8


@dataclass
class Tuned:
    """An arm's trials so far: their points, and what each came to on the longest run that it has had.

    `stages` are the rounds that they came in. `places` are where they lie on the range that was searched, where it was
    one alone: from 0 to 1, or beyond where that is open.
    """

    points: Points = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    rung: list[int] = field(default_factory=list)
    stages: list[int] = field(default_factory=list)
    places: list[float] = field(default_factory=list)
    early: list[float] = field(default_factory=list)  # scores of the shortest runs, where there are longer ones
    even: bool = True  # whether no model proposed points and all ran equally long

    def add(self, arm: Arm, point: dict[str, Any], outcome: Outcome, turn: int) -> None:
        """Note the first run of a trial."""
        self.points.append(point)
        self.outcomes.append(outcome)
        self.rung.append(0)
        self.stages.append(turn)
        if (found := only_range(arm)) is not None:
            name, dimension = found
            self.places.append(dimension.place(point[name]))

    @property
    def trials(self) -> tuple[Trial, ...]:
        """As numbers; of an arm of which nothing is searched a word that its one point was not tried."""
        if not self.outcomes:
            return tuple(Trial(point, math.nan, diverged=False) for point in self.points)
        early: Sequence[float | None] = self.early or [None] * len(self.points)
        return tuple(
            Trial(point, float(outcome.valid_metric[-1]), outcome.diverged, score)
            for point, outcome, score in zip(self.points, self.outcomes, early, strict=True)
        )

    def losses(self, sign: float) -> list[float | None]:
        """Their validation scores as losses; None where a trial diverged."""
        return [sign * trial.score if trial.usable else None for trial in self.trials]

    def ranked(self, sign: float) -> list[int]:
        """The trials, best first: by how far they came, by validation score, equal scores by validation loss."""
        losses = self.losses(sign)

        def rank(index: int) -> tuple[float, ...]:
            loss = losses[index]
            if loss is None:
                return -self.rung[index], 1
            return -self.rung[index], 0, loss, float(self.outcomes[index].valid_loss[-1])

        return sorted(range(len(self.points)), key=rank)


def tune(stages: Stages, arms: Sequence[Arm], effort: Effort, seed: int, tuning_seed: int) -> dict[str, Tuned]:
    """Run all trials of all arms, round by round and rung by rung; those of which nothing is searched have none."""
    problem = stages.problem
    sign = sign_of(problem)
    even = effort.rounds in (None, 1) and effort.halving == 1
    tuned = {arm.name: Tuned(even=even) if arm.searched else Tuned([{}], rung=[0]) for arm in arms}
    arms = [arm for arm in arms if arm.searched]
    if not arms:
        return tuned
    (_, part), *later = rungs(effort.trials, effort.halving, effort.finalists)
    sizes = round_sizes(effort, arms)
    for turn, count in enumerate(sizes):
        drawn = [(arm, point) for arm in arms for point in _points(arm, tuned[arm.name], effort, count, seed, sign)]
        runs = [run_of(arm, point, problem, tuning_seed, part) for arm, point in drawn]
        for (arm, point), outcome in zip(drawn, stages.train(_title(len(sizes), turn, 0), runs), strict=True):
            tuned[arm.name].add(arm, point, outcome, turn)
    if later:
        for found in (tuned[arm.name] for arm in arms):
            found.early = [float(outcome.valid_metric[-1]) for outcome in found.outcomes]
    for rung, (kept, part) in enumerate(later, start=1):
        chosen = [(arm, i) for arm in arms for i in sorted(tuned[arm.name].ranked(sign)[:kept])]
        runs = [run_of(arm, tuned[arm.name].points[i], problem, tuning_seed, part) for arm, i in chosen]
        for (arm, i), outcome in zip(chosen, stages.train(_title(len(sizes), 0, rung), runs), strict=True):
            tuned[arm.name].outcomes[i] = outcome
            tuned[arm.name].rung[i] = rung
    return tuned


def round_sizes(effort: Effort, arms: Sequence[Arm]) -> list[int]:
    """Trials of each round; what does not divide goes to the first rounds. Two, where an arm is searched in two stages.

    >>> round_sizes(Effort(trials=16, finalists=5, seeds=10, rounds=3), [])
    [6, 5, 5]
    """
    rounds = effort.rounds or (2 if any(_staged(arm, effort) for arm in arms) else 1)
    size, more = divmod(effort.trials, rounds)
    return [size + (turn < more) for turn in range(rounds)]


def planned_runs(
    arm: Arm, problem: Problem, effort: Effort, seed: int, tuning_seed: int, final_seeds: Sequence[int]
) -> list[Run]:
    """The runs of an arm that are known before the race: its tuning, with the first points standing for later ones.

    Of an arm of which nothing is searched these are its finals.
    """
    if not arm.searched:
        return final_runs(problem, [arm], {arm.name: [{}]}, final_seeds)
    known = _points(arm, Tuned(), effort, round_sizes(effort, [arm])[0], seed, 1.0)
    points = list(itertools.islice(itertools.cycle(known), effort.trials))
    ladder = rungs(effort.trials, effort.halving, effort.finalists)
    return [run_of(arm, point, problem, tuning_seed, part) for count, part in ladder for point in points[:count]]


def best_trials(tuned: Mapping[str, Tuned], problem: Problem, effort: Effort) -> dict[str, list[int]]:
    """Each arm's trials that run finals, the best first."""
    return {name: found.ranked(sign_of(problem))[: effort.finalists] for name, found in tuned.items()}


def run_finals(
    stages: Stages,
    arms: Sequence[Arm],
    tuned: Mapping[str, Tuned],
    chosen: Mapping[str, Sequence[int]],
    seeds: Sequence[int],
    title: str = "finals",
) -> Finals:
    """Run the chosen trials' configurations on every seed."""
    points = {name: [tuned[name].points[index] for index in indices] for name, indices in chosen.items()}
    outcomes = iter(stages.train(title, final_runs(stages.problem, arms, points, seeds), score=True))
    return {arm.name: tuple(tuple(next(outcomes) for _ in seeds) for _ in chosen[arm.name]) for arm in arms}


def final_runs(
    problem: Problem, arms: Sequence[Arm], points: Mapping[str, Sequence[Mapping[str, Any]]], seeds: Sequence[int]
) -> list[Run]:
    """The runs of these configurations, arm by arm, on every seed."""
    return [run_of(arm, point, problem, seed) for arm in arms for point in points[arm.name] for seed in seeds]


def expected_cost(
    problem: Problem,
    arms: Sequence[Arm],
    effort: Effort,
    planned: Mapping[str, Sequence[Run]],
    final_seeds: Sequence[int],
    seconds_per_step: float,
    slots: int,
    kept: Sequence[Run],
) -> Cost:
    """What a race should cost, by its planned runs; the first points of a tuning stand for the finalists'.

    `kept` are those of them that need not be trained.
    """
    searched = {arm.name for arm in arms if arm.searched}
    first = {
        name: [run.configuration for run in runs[: effort.finalists if name in searched else 1]]
        for name, runs in planned.items()
    }
    tuning = budget_of(problem, [run for name in searched for run in planned[name]])
    finals = budget_of(problem, final_runs(problem, arms, first, final_seeds))
    kept_tuning, kept_finals = (
        budget_of(problem, [run for run in kept if (run.arm in searched) == tunes]) for tunes in (True, False)
    )
    return Cost(len(arms), tuning, finals, seconds_per_step, slots, kept_tuning, kept_finals)


def _points(arm: Arm, tuned: Tuned, effort: Effort, count: int, seed: int, sign: float) -> Points:
    """The points of an arm's next round."""
    before = len(tuned.points)
    if (found := _staged(arm, effort)) is not None:
        name, dimension = found
        wide = wide_places(arm, before or count, seed)
        places = near_places(arm, wide, tuned.ranked(sign)[0], count, seed) if before else wide
        return [{name: dimension.at(place)} for place in places]
    if effort.rounds is None or not before:
        return sobol_points(arm, before + count, seed)[before:]
    return propose(arm, tuned.points, tuned.losses(sign), count, seed)


def _staged(arm: Arm, effort: Effort) -> tuple[str, Range] | None:
    """The name and the range of an arm that is searched in two stages."""
    return only_range(arm) if effort.rounds is None and effort.trials >= _TWO_STAGES else None


def _title(rounds: int, turn: int, rung: int) -> str:
    """What a stage is called; the store finds its runs by it."""
    if rung:
        return f"tuning, rung {rung + 1}"
    return "tuning" if rounds == 1 else f"tuning, round {turn + 1}"


def sign_of(problem: Problem) -> float:
    """What makes a loss of a score."""
    return -1.0 if problem.metric.higher_is_better else 1.0
