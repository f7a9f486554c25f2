"""The race: check, tune, finals on fresh seeds, time alone, verdict."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fallline.racing.arms import Arm, as_arms, one_optimizer_twice
from fallline.racing.audit import (
    describe,
    one_at_a_time,
    score_before,
    started_apart,
    step_zero_difference,
    undefined_scores,
)
from fallline.racing.effort import Budget, Cost, Effort, as_effort, budget_of
from fallline.racing.ending import attempted, ended
from fallline.racing.engines.engine import Engine, choose_engine
from fallline.racing.judging.cautions import missed_target, proposed_trials, unequal_budgets
from fallline.racing.judging.records import LARGEST_SCORE, Entry, Verdict
from fallline.racing.judging.verdict import decide
from fallline.racing.result import ArmResult, RaceResult
from fallline.racing.runs import Outcome, Run, reached
from fallline.racing.solo import solo_seconds, try_arms
from fallline.racing.stages import Plan, Silence, Stages, Watcher, cores, make_plan
from fallline.racing.storage.fingerprint import TOO_MANY, fingerprint, unknown
from fallline.racing.storage.races import RaceCard
from fallline.racing.storage.store import Lasting, Store, open_store
from fallline.racing.tuning import Finals, Tuned, as_final, final_runs, run_finals, sharing, tune, tuning_runs
from fallline.racing.wording import counted
from fallline.rules import DEFAULT_ARMS
from fallline.training import Problem, ProblemError, make_lanes

Numbers = NDArray[np.float64]
DEFAULT_STORAGE = Path("fallline-races.db")


def race(
    problem: Problem,
    arms: Iterable[Any] | str | None = None,
    effort: str | Effort = "standard",
    *,
    search: Sequence[str] = ("lr",),
    rounds: int | None = None,
    halving: int | None = None,
    seed: int = 0,
    storage: str | Path | None = DEFAULT_STORAGE,
    smallest_difference: float | None = None,
    training: str = "auto",
    workers: int | None = None,
    ray: str | None = None,
    resume: str | None = None,
    slices: bool = False,
    watcher: Watcher | None = None,
    **elsewhere: Any,
) -> RaceResult:
    """Race optimizers on a problem under an equal budget and judge them.

    `arms` are names, rules, torch optimizer classes, functions of the parameters and a learning rate `lr` that return
    an optimizer, or `Arm`s, in a list or, by names of your own, in a dictionary; "all" takes all that can be raced,
    None the default ones. Every arm gets the same number of trials, then its best configurations run on fresh seeds
    that all arms share; the test split is read only there. `search` names what is searched beside the learning rate:
    hyperparameters of the arms, "batch", "schedule", "warm_up", "weight_decay". `rounds` and `halving` are those of the
    effort.

    `storage` is an SQLite file or the URL of any Optuna storage, which keeps every run as it ends (None keeps none):
    the same call takes up a race that was stopped, at whatever moment (`resume` names the one that it must be). `seed`
    settles everything that is drawn. `training` is "auto" (the fastest, by a short measurement), "batched", "in turn"
    or "processes"; `workers` trains in so many processes of this machine, `ray` on the cluster at that address. None of
    these changes a run beyond rounding. `slices` also cuts through the loss around the best runs, for the report.

    Raises ProblemError or ValueError, in a sentence that says what to change, for what can't be raced; OSError for a
    storage that can't be used.

    >>> from fallline.problems import digits
    >>> result = race(digits(epochs=2), ["sgd", "adam"], "quick", storage=None)
    >>> result.verdict.winner is None  # a quick race is a ranking
    True
    """
    _check(problem, seed)
    if elsewhere:
        name = next(iter(elsewhere))
        raise TypeError(
            f"race has no argument '{name}'; {_ELSEWHERE.get(name, 'help(fallline.race) lists those it has')}"
        )
    watcher = watcher or Silence()
    if arms is not None and not isinstance(arms, (str, Mapping, list, tuple)) and isinstance(arms, Iterable):
        arms = list(arms)  # which may be read once alone
    entrants = as_arms(arms, search=search, problem=problem)
    spent = as_effort(effort, rounds=rounds, halving=halving)
    watcher.note(f"Checking the problem and {counted(len(entrants), 'arm')}.")
    problem.check(_seeds(seed, 1)[0])
    try_arms(problem, entrants)
    repeated = one_optimizer_twice(entrants)
    for line in repeated:
        watcher.note(line)
    settings = {"smallest_difference": smallest_difference, "search": list(search)}
    told = "{}"
    if storage is not None:
        watcher.note("Reading what the problem and the arms are made of, by which a stopped race is known again.")
        told = fingerprint(problem, entrants, spent, seed, settings)
    if TOO_MANY in unknown(told):
        watcher.note("The problem imports more source files than are read, so only its name takes this race up again.")
    card = RaceCard(
        problem=problem.name,
        fingerprint=told,
        higher_is_better=problem.metric.higher_is_better,
        spaces={arm.name: arm.space for arm in entrants},
        command=_command(problem, arms, spent, seed, settings),
        planned_runs=len(entrants)
        * (len(tuning_runs(entrants[0], problem, spent, seed, seed)) + spent.finalists * spent.seeds),
    )
    with closing(choose_engine(workers, ray)) as engine, closing(open_store(storage, card, name=resume)) as opened:
        store = Lasting(opened, watcher.note)
        result = _Race(problem, entrants, spent, seed, store, engine, smallest_difference, training, watcher).run()
        return ended(result.warned(*repeated), store, slices=slices)


_OF_EFFORT = "it belongs to the effort: effort=fallline.Effort(trials=16, finalists=5, seeds=10)"
_OF_PROBLEM = "it belongs to the problem: fallline.Problem(..., {}=...)"
_OF_ARM = "a race searches it; set its space by fallline.Arm('name', optimizer, space={'lr': (low, high)})"
#: Where what people give a race has its place.
_ELSEWHERE = {
    **dict.fromkeys(("trials", "finalists", "seeds"), _OF_EFFORT),
    **{name: _OF_PROBLEM.format(name) for name in ("batch", "epochs", "steps", "metric", "target", "loss", "shuffle")},
    **dict.fromkeys(("lr", "learning_rate", "space"), _OF_ARM),
    **dict.fromkeys(("optimizers", "optimizer", "rules", "entrants"), "give the optimizers as arms=[...]"),
    **dict.fromkeys(("n_jobs", "processes", "num_workers"), "it is called workers"),
}


def _check(problem: Problem, seed: int) -> None:
    if not isinstance(problem, Problem):
        raise ProblemError(f"problem: must be a fallline.Problem, got {type(problem).__name__}.")
    if problem.test is None:
        raise ProblemError("test: a race is judged on a test split; give the problem test=(X, y).")
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise ValueError(f"seed must be a whole number from 0 to 2**63 - 1; got {seed!r}")


def _command(
    problem: Problem, arms: Iterable[Any] | str | None, effort: Effort, seed: int, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """What a command line needs to take the race up; arms are None where only a program has them."""
    names: Any = list(DEFAULT_ARMS) if arms is None else arms
    typed = not isinstance(names, Mapping) and all(isinstance(name, str) for name in names)
    given = (names if isinstance(names, str) else list(names)) if typed else None
    return {"problem": problem.origin, "arms": given, "effort": asdict(effort), "seed": seed, **settings}


class _Race:
    def __init__(
        self,
        problem: Problem,
        arms: tuple[Arm, ...],
        effort: Effort,
        seed: int,
        store: Store,
        engine: Engine,
        smallest_difference: float | None,
        training: str,
        watcher: Watcher,
    ) -> None:
        self.problem, self.arms, self.effort, self.seed = problem, arms, effort, seed
        self.store, self.engine, self.watcher = store, engine, watcher
        self.smallest_difference, self.training = smallest_difference, training
        self.sign = -1.0 if problem.metric.higher_is_better else 1.0
        # The first seed tunes; the others, which no trial has seen, run the finals.
        self.tuning_seed, *self.final_seeds = _seeds(seed, 1 + effort.seeds)

    def run(self) -> RaceResult:
        """All stages in turn."""
        started = time.perf_counter()
        planned = {
            arm.name: tuning_runs(arm, self.problem, self.effort, self.seed, self.tuning_seed) for arm in self.arms
        }
        plan = self._plan([run for runs in planned.values() for run in runs])
        cost = self._cost(planned, plan)
        self._announce(cost, plan)
        with self._engine_for(plan) as engine:
            stages = Stages(self.problem, self.store, engine, plan, self.watcher)
            tuning_started = time.perf_counter()
            tuned = tune(stages, self.arms, self.effort, self.seed, self.tuning_seed)
            self.watcher.note(cost.after_tuning(time.perf_counter() - tuning_started))
            chosen = {name: found.ranked(self.sign)[: self.effort.finalists] for name, found in tuned.items()}
            finals = run_finals(stages, self.arms, tuned, chosen, self.final_seeds)
        bests = [(arm, tuned[arm.name].points[chosen[arm.name][0]]) for arm in self.arms]
        seconds, untimed = attempted(
            "The steps could not be timed alone, so all arms have the time that was measured before the race",
            lambda: self._remembered("step_seconds", lambda: solo_seconds(self.problem, bests)),
        )
        seconds = seconds or [plan.seconds] * len(bests)
        (untrained_loss, *untrained), unknown = self._before_training(tuned, finals)
        examples = sharing(run for arm in finals.values() for runs in arm for run in runs)
        results = [
            self._arm_result(arm, tuned[arm.name], chosen[arm.name], finals[arm.name], examples, step, untrained_loss)
            for arm, step in zip(self.arms, seconds, strict=True)
        ]
        difference = self._audit(tuned, finals)
        verdict = self._judge(results, untrained, difference, plan, stages.granted, (*untimed, *unknown))
        by_name = {result.name: replace(result, score=verdict.scores.get(result.name)) for result in results}
        return RaceResult(
            arms=tuple(by_name[name] for name in verdict.ranking),
            verdict=verdict,
            protocol={
                **describe(self.problem, self.effort, self.seed, plan),
                "tuning_seed": self.tuning_seed,
                "final_seeds": list(self.final_seeds),
                "untrained_loss": untrained_loss,
                "untrained_score": untrained[0],
                "untrained_valid_score": untrained[1],
                "step_zero_largest_relative_difference": difference,
                "budget": {name: asdict(budget) for name, budget in stages.granted.items()},
            },
            occasion={
                "seconds": time.perf_counter() - started,
                "estimated_seconds": cost.seconds,
                "storage": None if self.store.where is None else {"where": self.store.where, "study": self.store.name},
                "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
            },
        )

    def _plan(self, runs: list[Run]) -> Plan:
        """How to train, as it was settled when the race began."""
        kept = self._remembered(
            "plan", lambda: make_plan(self.problem, runs, self.training, self.engine.slots).as_fact()
        )
        return Plan.from_fact(kept)

    @contextmanager
    def _engine_for(self, plan: Plan) -> Iterator[Engine]:
        """The engine that was asked for; one of processes where the plan found that to be the fastest."""
        if plan.training != "processes":
            yield self.engine
            return
        with closing(choose_engine(cores())) as engine:
            yield engine

    def _remembered(self, fact: str, find: Callable[[], Any]) -> Any:
        """What was found when the race was here before, or is found now."""
        kept = self.store.recall(fact)
        if kept is None:
            kept = find()
            self.store.remember(fact, kept)
        return kept

    def _cost(self, planned: Mapping[str, list[Run]], plan: Plan) -> Cost:
        first = {name: [run.configuration for run in runs[: self.effort.finalists]] for name, runs in planned.items()}
        finals = final_runs(self.problem, self.arms, first, self.final_seeds)
        tuning = budget_of(self.problem, [run for runs in planned.values() for run in runs])
        return Cost(len(self.arms), tuning, budget_of(self.problem, finals), plan.seconds, self.engine.slots)

    def _announce(self, cost: Cost, plan: Plan) -> None:
        self.watcher.note(cost.before())
        for line in one_at_a_time(plan.obstacle):
            self.watcher.note(line)
        if self.store.where is not None:
            self.watcher.note(f"Every run is kept in {self.store.where}, which Optuna's dashboard opens.")
        if self.store.kept:
            self.watcher.note(f"Taken up again: {self.store.kept:,} runs of this race are there already.")

    def _arm_result(
        self,
        arm: Arm,
        tuned: Tuned,
        chosen: list[int],
        finals: tuple[tuple[Outcome, ...], ...],
        examples: int | None,
        step_seconds: float | Sequence[float],
        untrained_loss: float,
    ) -> ArmResult:
        entry = Entry(
            arm.name,
            tuned.trials,
            tuple(as_final(index, runs, examples) for index, runs in zip(chosen, finals, strict=True)),
            arm.space,
            arm.bytes_per_parameter,
            step_seconds,
            stratified=self.effort.rounds == 1 and self.effort.halving == 1,
        )
        goals = tuple(reached(self.problem, finals[0], untrained_loss))
        return ArmResult(arm, self.problem, entry, goals, tuple(tuned.outcomes), finals, tuple(self.final_seeds))

    def _audit(self, tuned: Mapping[str, Tuned], finals: Finals) -> float:
        """The largest relative difference between the validation losses before any step of runs from one seed."""
        losses, seeds = [], []
        for name, found in tuned.items():
            losses += [float(outcome.valid_loss[0]) for outcome in found.outcomes]
            seeds += [self.tuning_seed] * len(found.outcomes)
            for runs in finals[name]:
                losses += [float(outcome.valid_loss[0]) for outcome in runs]
                seeds += self.final_seeds
        return step_zero_difference(np.array(losses), seeds)

    def _judge(
        self,
        results: list[ArmResult],
        untrained: Sequence[float],
        difference: float,
        plan: Plan,
        granted: Mapping[str, Budget],
        failed: Sequence[str],
    ) -> Verdict:
        verdict = decide(
            [result.entry for result in results],
            higher_is_better=self.problem.metric.higher_is_better,
            untrained=_known(untrained[0]),
            untrained_valid=_known(untrained[1]),
            smallest_difference=self.smallest_difference,
            effort_names_winner=self.effort.names_winner,
            seed=self.seed,
            metric=self.problem.metric.name,
            bounds=self.problem.metric.bounds,
        )
        samples = {name: budget.samples for name, budget in granted.items()}
        proposed = proposed_trials(self.effort.rounds) if verdict.comparisons else ()
        warnings = [*verdict.warnings, *proposed, *unequal_budgets(samples)]
        if self.problem.target is not None:
            counts = {result.name: result.reached[0].reached for result in results if not result.entry.diverged}
            warnings += missed_target(counts, runs=self.effort.seeds)
        warnings += [*started_apart(difference), *one_at_a_time(plan.obstacle), *failed]
        return replace(verdict, warnings=tuple(warnings))

    def _before_training(self, tuned: Mapping[str, Tuned], finals: Finals) -> tuple[list[float], tuple[str, ...]]:
        """Validation loss, test score and validation score of the untrained model, and what there is to say of them."""
        found, failed = attempted("The untrained model could not be evaluated", self._untrained)
        losses, tests, valids = found or (np.full(len(self.final_seeds), np.nan),) * 3
        trials = [run for arm in tuned.values() for run in arm.outcomes]
        last = [run for arm in finals.values() for runs in arm for run in runs]
        valid = np.array([run.valid_metric[-1] for run in trials if not run.diverged])
        test = np.array([run.score for run in last if not run.diverged])
        before = [score_before(each) for each in (losses, tests, valids)]
        undefined = int((~np.isfinite(np.concatenate([valid, test]))).sum())
        return before, (*failed, *undefined_scores(self.problem.metric.name, tests + valids, undefined))

    def _untrained(self) -> tuple[Numbers, Numbers, Numbers]:
        """Before training, for each final seed: the validation loss, the test score and the validation score."""
        assert self.problem.test is not None
        lanes = make_lanes(self.problem, self.final_seeds, batched=False)
        valid, test = (lanes.evaluate(split) for split in (self.problem.valid, self.problem.test))
        return valid.loss.numpy(), test.metric.numpy(), valid.metric.numpy()


def _known(score: float) -> float | None:
    """A score before training, or None where an untrained model has none: a correlation of a constant, for example."""
    return score if abs(score) <= LARGEST_SCORE else None


def _seeds(seed: int, count: int) -> list[int]:
    """Different seeds that follow from one; a longer list begins with the shorter."""
    drawn = np.random.SeedSequence(seed).generate_state(4 * count) >> 1
    return list(dict.fromkeys(drawn.tolist()))[:count]
