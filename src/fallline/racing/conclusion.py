"""What a race comes to, once all runs are done: every arm's record, the verdict, and what there is to say beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fallline.racing.arms import Arm
from fallline.racing.audit import (
    describe,
    one_at_a_time,
    score_before,
    started_apart,
    step_zero_difference,
    undefined_scores,
)
from fallline.racing.effort import Budget, Effort
from fallline.racing.failure import attempted
from fallline.racing.judging import (
    LARGEST_SCORE,
    Entry,
    Final,
    Verdict,
    decide,
    missed_target,
    proposed_trials,
    unequal_budgets,
)
from fallline.racing.result import ArmResult, RaceResult
from fallline.racing.runs import Outcome, reached
from fallline.racing.stages import Plan
from fallline.racing.tuning import Finals, Tuned
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

    @property
    def final_runs(self) -> list[Outcome]:
        """Of all arms, finalists and seeds."""
        return [run for arm in self.finals.values() for runs in arm for run in runs]


def conclude(raced: Raced, smallest_difference: float | None, failed: Sequence[str]) -> RaceResult:
    """Judge a race; `failed` are sentences on what could not be measured. What holds for this time only is not told."""
    (untrained_loss, score, valid_score), unknown = _before_training(raced)
    results = _arm_results(raced, untrained_loss)
    difference, metric = _first_losses_differ(raced), raced.asked.problem.metric
    verdict = decide(
        [result.entry for result in results],
        higher_is_better=metric.higher_is_better,
        untrained=_known(score),
        untrained_valid=_known(valid_score),
        smallest_difference=smallest_difference,
        effort_names_winner=raced.asked.effort.names_winner,
        seed=raced.asked.seed,
        metric=metric.name,
        bounds=metric.bounds,
    )
    warnings = (*verdict.warnings, *_further_warnings(raced, results, verdict, difference), *failed, *unknown)
    verdict = replace(verdict, warnings=warnings)
    by_name = {result.name: replace(result, score=verdict.scores.get(result.name)) for result in results}
    protocol = {
        **describe(raced.asked.problem, raced.asked.effort, raced.asked.seed, raced.plan),
        "tuning_seed": raced.asked.tuning_seed,
        "final_seeds": list(raced.asked.final_seeds),
        "untrained_loss": untrained_loss,
        "untrained_score": score,
        "untrained_valid_score": valid_score,
        "step_zero_largest_relative_difference": difference,
        "budget": {name: asdict(budget) for name, budget in raced.granted.items()},
    }
    return RaceResult(tuple(by_name[name] for name in verdict.ranking), verdict, protocol, occasion={})


def _arm_results(raced: Raced, untrained_loss: float) -> list[ArmResult]:
    examples, results = sharing(raced.final_runs), []
    for arm, seconds in zip(raced.asked.arms, raced.step_seconds, strict=True):
        tuned, finals = raced.tuned[arm.name], raced.finals[arm.name]
        entry = Entry(
            arm.name,
            tuned.trials,
            tuple(as_final(index, runs, examples) for index, runs in zip(raced.chosen[arm.name], finals, strict=True)),
            arm.space,
            arm.bytes_per_parameter,
            seconds,
            stratified=raced.asked.effort.rounds == 1 and raced.asked.effort.halving == 1,
        )
        goals = tuple(reached(raced.asked.problem, finals[0], untrained_loss))
        results.append(
            ArmResult(
                arm, raced.asked.problem, entry, goals, tuple(tuned.outcomes), finals, raced.asked.final_seeds,
                training=raced.plan.training, workers=raced.asked.workers,
            )
        )  # fmt: skip
    return results


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


def _further_warnings(
    raced: Raced, results: Sequence[ArmResult], verdict: Verdict, difference: float
) -> tuple[str, ...]:
    """Those that the judge, who sees scores alone, can't give."""
    proposed = proposed_trials(raced.asked.effort.rounds) if verdict.comparisons else ()
    unequal = unequal_budgets({arm.name: raced.granted[arm.name].samples for arm in raced.asked.arms if arm.searched})
    missed: tuple[str, ...] = ()
    if raced.asked.problem.target is not None:
        counts = {result.name: result.reached[0].reached for result in results if not result.entry.diverged}
        missed = missed_target(counts, runs=raced.asked.effort.seeds)
    return *proposed, *unequal, *missed, *started_apart(difference), *one_at_a_time(raced.plan.obstacle)


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
