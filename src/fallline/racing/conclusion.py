"""What a race comes to, once all runs are done: the decision, every arm's record, and what there is to say beside."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fallline.racing.arm_result import ArmResult
from fallline.racing.arms import Arm, by_family
from fallline.racing.audit import (
    describe,
    one_at_a_time,
    score_before,
    started_apart,
    step_zero_difference,
    undefined_scores,
)
from fallline.racing.decision import LARGEST_SCORE, Decision, Entrant, decide, stand_in, with_lines
from fallline.racing.effort import Budget, Effort
from fallline.racing.evidence import as_entrants, evaluated, steps_of_speed
from fallline.racing.failure import attempted
from fallline.racing.judging import (
    Entry,
    Estimate,
    Final,
    cautions,
    mean_interval,
    missed_target,
    proposed_trials,
    unequal_budgets,
)
from fallline.racing.result import RaceResult
from fallline.racing.runs import Outcome, reached
from fallline.racing.stages import Plan
from fallline.racing.tuning import Finals, Tuned, sign_of
from fallline.training import Problem, make_lanes

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """A race as it is asked: what is trained, who races, on which seeds, and in how many processes if that was said."""

    problem: Problem
    arms: tuple[Arm, ...]
    effort: Effort
    seed: int
    tuning_seed: int
    final_seeds: tuple[int, ...]
    workers: int | None
    margin: float


@dataclass(frozen=True)
class Raced:
    """A race whose stages are done; `step_seconds` has an entry an arm, `chosen` the finalists' trials, best first."""

    asked: Asked
    plan: Plan
    granted: Mapping[str, Budget]
    tuned: Mapping[str, Tuned]
    chosen: Mapping[str, Sequence[int]]
    finals: Finals
    step_seconds: Sequence[float | Sequence[float]]

    @functools.cached_property
    def entrants(self) -> list[Entrant]:
        """The arms' runs as the decision sees them."""
        return as_entrants(self.asked.arms, self.tuned, self.chosen, self.finals, self.steps)

    @functools.cached_property
    def steps(self) -> NDArray[np.int64] | None:
        """After how many steps speed is told; None where it is not."""
        return steps_of_speed(self.asked.problem, self.asked.arms, self.tuned, self.chosen, self.finals)

    @property
    def final_runs(self) -> list[Outcome]:
        """Of all arms, finalists and seeds."""
        return [run for arm in self.finals.values() for runs in arm for run in runs]


def conclude(raced: Raced, failed: Sequence[str], look: int) -> RaceResult:
    """Judge a race, at its look of this number; `failed` are sentences on what could not be measured.

    What holds for this time only is not told.
    """
    (untrained_loss, score, valid_score), unknown = _before_training(raced)
    decision = _decision(raced, score, valid_score, look)
    scores = _scores(raced, score)
    results = {
        result.name: replace(result, score=scores[result.name]) for result in _arm_results(raced, untrained_loss)
    }
    difference = _first_losses_differ(raced)
    warnings = (*_warnings(raced, list(results.values()), difference), *failed, *unknown)
    protocol = {
        **describe(raced.asked.problem, raced.asked.effort, raced.asked.seed, raced.plan),
        "tuning_seed": raced.asked.tuning_seed,
        "final_seeds": list(raced.asked.final_seeds),
        "untrained_loss": untrained_loss,
        "untrained_score": score,
        "untrained_valid_score": valid_score,
        "step_zero_largest_relative_difference": difference,
        "speed_steps": None if raced.steps is None else raced.steps.tolist(),
        "budget": {name: asdict(budget) for name, budget in raced.granted.items()},
    }
    arms = tuple(results[name] for name in decision.ranking)
    return RaceResult(arms, decision, tuple(dict.fromkeys(warnings)), protocol, occasion={})


def _decision(raced: Raced, score: float, valid_score: float, look: int) -> Decision:
    asked, metric = raced.asked, raced.asked.problem.metric
    made = decide(
        raced.entrants,
        higher_is_better=metric.higher_is_better,
        untrained=_known(score),
        untrained_validation=_known(valid_score),
        margin=asked.margin,
        bounds=metric.bounds,
        steps=raced.steps,
        step_seconds=_rounds(raced),
        look=look,
        metric=metric.name,
        seed=asked.seed,
        families={name: family for family, names in by_family(asked.arms).items() for name in names},
    )
    speed = _on_speed(raced, told=made.speeds is not None) if len(asked.arms) > 1 else ()
    return with_lines(replace(made, notes=(*speed, *made.notes)))


def _on_speed(raced: Raced, *, told: bool) -> tuple[str, ...]:
    """What to know of how fast the arms are said to be, if they are."""
    whole = raced.asked.problem.steps
    if evaluated(raced.finals) is None:
        return ("Runs were evaluated after different steps, so how fast the arms are is not told.",)
    if raced.steps is None:
        return ("Learning rates come down early, so that the way there tells nothing of speed: race several lengths.",)
    until = int(raced.steps[-1])
    if until == whole or not told:
        return ()
    return (f"Speed is that of the first {until:,} steps, before learning rates come down.",)


def _rounds(raced: Raced) -> Mapping[str, Sequence[float]] | None:
    """Seconds of a step by arm in each round of measuring; None where they were not measured."""
    rounds = raced.step_seconds
    if any(isinstance(one, float) for one in rounds):
        return None
    return {arm.name: list(one) for arm, one in zip(raced.asked.arms, rounds, strict=True) if isinstance(one, Sequence)}


def _scores(raced: Raced, untrained: float) -> dict[str, Estimate | None]:
    """Each arm's mean test score with its interval over the seeds; None for an arm that diverged as a whole."""
    problem = raced.asked.problem
    sign = sign_of(problem)
    diverged = sign * stand_in(raced.entrants, sign, _known(untrained))
    found: dict[str, Estimate | None] = {}
    for one in raced.entrants:
        scores = np.where(one.usable[0], one.test[0], diverged)
        found[one.name] = mean_interval(scores, bounds=problem.metric.bounds) if one.usable[0].any() else None
    return found


def _arm_results(raced: Raced, untrained_loss: float) -> list[ArmResult]:
    results = []
    for arm, entrant, seconds in zip(raced.asked.arms, raced.entrants, raced.step_seconds, strict=True):
        tuned, finals = raced.tuned[arm.name], raced.finals[arm.name]
        entry = Entry(
            arm.name,
            tuned.trials,
            tuple(
                Final(index, np.array([run.score for run in runs]), ~usable)
                for index, runs, usable in zip(raced.chosen[arm.name], finals, entrant.usable, strict=True)
            ),
            arm.space,
            arm.bytes_per_parameter,
            seconds,
        )
        goals = tuple(reached(raced.asked.problem, finals[0], untrained_loss))
        results.append(
            ArmResult(
                arm, raced.asked.problem, entry, entrant, goals, tuple(tuned.outcomes), finals, raced.asked.final_seeds,
                training=raced.plan.training, workers=raced.asked.workers,
            )
        )  # fmt: skip
    return results


def _warnings(raced: Raced, results: Sequence[ArmResult], difference: float) -> tuple[str, ...]:
    asked = raced.asked
    own = cautions([one.entry for one in results], higher_is_better=asked.problem.metric.higher_is_better)
    proposed = proposed_trials(asked.effort.rounds) if len(results) > 1 else ()
    unequal = unequal_budgets({arm.name: raced.granted[arm.name].samples for arm in asked.arms if arm.searched})
    missed: tuple[str, ...] = ()
    if asked.problem.target is not None:
        counts = {result.name: result.reached[0].reached for result in results if not result.entry.diverged}
        missed = missed_target(counts, runs=asked.effort.seeds)
    return *own, *proposed, *unequal, *missed, *started_apart(difference), *one_at_a_time(raced.plan.obstacle)


def _first_losses_differ(raced: Raced) -> float:
    """The largest relative difference between the validation losses before any step of runs from one seed."""
    losses, seeds = [], []
    for name, found in raced.tuned.items():
        losses += [float(outcome.valid_loss[0]) for outcome in found.outcomes]
        seeds += [raced.asked.tuning_seed] * len(found.outcomes)
        for runs in raced.finals[name]:
            losses += [float(outcome.valid_loss[0]) for outcome in runs]
            seeds += raced.asked.final_seeds
    return step_zero_difference(np.array(losses), seeds)


def _before_training(raced: Raced) -> tuple[list[float], tuple[str, ...]]:
    """Validation loss, test score and validation score of the untrained model, and what there is to say of them."""
    found, failed = attempted("The untrained model could not be evaluated", lambda: _untrained(raced))
    losses, tests, valids = found or (np.full(len(raced.asked.final_seeds), np.nan),) * 3
    trials = [run for arm in raced.tuned.values() for run in arm.outcomes]
    valid = np.array([run.valid_metric[-1] for run in trials if not run.diverged])
    test = np.array([run.score for run in raced.final_runs if not run.diverged])
    before = [score_before(each) for each in (losses, tests, valids)]
    undefined = int((~np.isfinite(np.concatenate([valid, test]))).sum())
    return before, (*failed, *undefined_scores(raced.asked.problem.metric.name, tests + valids, undefined))


def _untrained(raced: Raced) -> tuple[Numbers, Numbers, Numbers]:
    """Before training, for each final seed: the validation loss, the test score and the validation score."""
    problem = raced.asked.problem
    assert problem.test is not None
    lanes = make_lanes(problem, raced.asked.final_seeds, batched=False)
    valid, test = (lanes.evaluate(split) for split in (problem.valid, problem.test))
    return valid.loss.numpy(), test.metric.numpy(), valid.metric.numpy()


def _known(score: float) -> float | None:
    """A score before training, or None where an untrained model has none: a correlation of a constant, for example."""
    return score if abs(score) <= LARGEST_SCORE else None
