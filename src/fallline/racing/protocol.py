"""The race: check, tune, finals on fresh seeds, time alone, verdict."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fallline.racing.arms.arm import Arm
from fallline.racing.arms.names import as_arms
from fallline.racing.audit import one_at_a_time, started_apart, step_zero_difference
from fallline.racing.cost import Cost
from fallline.racing.effort import Effort, as_effort
from fallline.racing.judging.cautions import missed_target
from fallline.racing.judging.records import Entry, Final, Trial, Verdict
from fallline.racing.judging.verdict import decide
from fallline.racing.progress_to_target import reached
from fallline.racing.result import ArmResult, RaceResult
from fallline.racing.runs import Outcomes, Run, seconds_per_lane_step, train_runs
from fallline.racing.solo import solo_seconds, try_arms
from fallline.racing.storage import Storage, StoredRun
from fallline.racing.watch import Silence, Watcher
from fallline.training import Problem, ProblemError, make_lanes, obstacle_to_batching

DEFAULT_STORAGE = Path("fallline-races.db")


def race(
    problem: Problem,
    arms: Sequence[Any] | None = None,
    effort: str | Effort = "standard",
    *,
    seed: int = 0,
    storage: str | Path | None = DEFAULT_STORAGE,
    smallest_difference: float | None = None,
    watcher: Watcher | None = None,
) -> RaceResult:
    """Race optimizers on a problem under an equal budget and judge them.

    `arms` are names, rules, torch optimizer classes or `Arm`s; None takes the default ones. Every arm gets the same
    number of trials, then its best configurations run on fresh seeds that all arms share; the test split is read only
    there. `storage` is the SQLite file that keeps every run (None keeps none). `seed` settles everything that is drawn.

    Raises ProblemError or ValueError, in a sentence that says what to change, for what can't be raced.

    >>> from fallline.problems import digits
    >>> result = race(digits(epochs=2), ["sgd", "adam"], "quick", storage=None)
    >>> result.verdict.winner is None  # a quick race is a ranking
    True
    """
    return _Race(
        problem, as_arms(arms), as_effort(effort), seed, storage, smallest_difference, watcher or Silence()
    ).run()


class _Race:
    def __init__(
        self,
        problem: Problem,
        arms: tuple[Arm, ...],
        effort: Effort,
        seed: int,
        storage: str | Path | None,
        smallest_difference: float | None,
        watcher: Watcher,
    ) -> None:
        if not isinstance(problem, Problem):
            raise ProblemError(f"problem: must be a fallline.Problem, got {type(problem).__name__}.")
        if problem.test is None:
            raise ProblemError("test: a race is judged on a test split; give the problem test=(X, y).")
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise ValueError(f"seed must be a whole number from 0; got {seed!r}")
        self.problem, self.arms, self.effort, self.seed = problem, arms, effort, seed
        self.test = problem.test
        self.smallest_difference = smallest_difference
        self.watcher = watcher
        self.sign = -1.0 if problem.metric.higher_is_better else 1.0
        # The first seed tunes; the others, which no trial has seen, run the finals.
        self.tuning_seed, *self.final_seeds = _distinct_seeds(seed, 1 + effort.seeds)
        self._storage_path = None if storage is None else Path(storage)
        self.storage: Storage | None = None
        self.points = {arm.name: arm.points(effort.trials, seed) for arm in arms}

    def run(self) -> RaceResult:
        """All stages in turn."""
        started = time.perf_counter()
        self.problem.check(self.tuning_seed)
        try_arms(self.problem, self.arms)
        if self._storage_path is not None:
            self.storage = self._open(self._storage_path)
        self.obstacle = obstacle_to_batching(self.problem, self.tuning_seed)
        self.batched = self.obstacle is None
        runs = self._tuning_runs()
        cost = self._cost(runs)
        self.watcher.note(cost.before())
        for line in one_at_a_time(self.obstacle):
            self.watcher.note(line)
        if self.storage is not None:
            self.watcher.note(f"Every run is kept in {self.storage.path.resolve()}, which Optuna's dashboard opens.")
        tuning_started = time.perf_counter()
        tuned = train_runs(self.problem, runs, self.watcher, "tuning", batched=self.batched)
        self.watcher.note(cost.after_tuning(time.perf_counter() - tuning_started))
        trials = self._trials(tuned)
        self._store("trial", runs, tuned.curves.valid_metric[:, -1], tuned)
        chosen = {name: self._finalists(found, tuned, i) for i, (name, found) in enumerate(trials.items())}
        final_runs = [
            Run(arm.lane(trials[arm.name][index].configuration), seed)
            for arm in self.arms
            for index in chosen[arm.name]
            for seed in self.final_seeds
        ]
        ran = train_runs(self.problem, final_runs, self.watcher, "finals", batched=self.batched, score_on=self.test)
        assert ran.scores is not None
        self._store("final", final_runs, ran.scores, ran)
        bests = [(arm, dict(trials[arm.name][chosen[arm.name][0]].configuration)) for arm in self.arms]
        self.watcher.stage("timing alone", 1)
        seconds = solo_seconds(self.problem, bests)
        self.watcher.advance(1)
        entries = self._entries(trials, chosen, ran, seconds)
        untrained_loss, untrained_score = self._untrained()
        results = self._results(entries, tuned, ran, untrained_loss)
        difference = step_zero_difference(
            np.concatenate([tuned.first_loss, ran.first_loss]), [run.seed for run in (*runs, *final_runs)]
        )
        verdict = self._judge(entries, results, untrained_score, difference)
        protocol = self._protocol(untrained_loss, untrained_score, difference, cost)
        by_name = {result.name: result for result in results}
        result = RaceResult(
            arms=tuple(by_name[name] for name in verdict.ranking),
            verdict=verdict,
            protocol={**protocol, "seconds": time.perf_counter() - started},
        )
        if self.storage is not None:
            written = result.to_json()
            self.storage.describe({"protocol": written["protocol"], "verdict": written["verdict"]})
        return result

    def _open(self, path: Path) -> Storage:
        name = f"{self.problem.name} {datetime.now().isoformat(sep=' ', timespec='microseconds')}"
        return Storage(path, name, self.problem.metric.higher_is_better)

    def _tuning_runs(self) -> list[Run]:
        return [Run(arm.lane(point), self.tuning_seed) for arm in self.arms for point in self.points[arm.name]]

    def _cost(self, runs: list[Run]) -> Cost:
        """Estimate from a few measured steps of each kind of population."""
        finals = [
            Run(arm.lane(point), seed)
            for arm in self.arms
            for point in self.points[arm.name][: self.effort.finalists]
            for seed in self.final_seeds
        ]
        tuning_seconds, final_seconds = (
            len(some) * self.problem.steps * seconds_per_lane_step(self.problem, some, self.batched)
            for some in (runs, finals)
        )
        samples = self.problem.epochs * len(self.problem.train)
        return Cost(len(self.arms), len(runs), len(finals), self.problem.steps, samples, tuning_seconds, final_seconds)

    def _trials(self, tuned: Outcomes) -> dict[str, tuple[Trial, ...]]:
        scores = tuned.curves.valid_metric[:, -1]
        trials, row = {}, 0
        for arm in self.arms:
            found = []
            for point in self.points[arm.name]:
                found.append(Trial(point, float(scores[row]), bool(tuned.curves.diverged[row])))
                row += 1
            trials[arm.name] = tuple(found)
        return trials

    def _finalists(self, trials: tuple[Trial, ...], tuned: Outcomes, arm: int) -> list[int]:
        """The best trials by validation; equal scores are ordered by validation loss."""
        losses = tuned.curves.valid_loss[:, -1]
        count = self.effort.trials

        def rank(index: int) -> tuple[bool, float, float]:
            trial = trials[index]
            return (not trial.usable, self.sign * trial.score if trial.usable else 0.0, losses[arm * count + index])

        return sorted(range(count), key=rank)[: self.effort.finalists]

    def _entries(
        self, trials: dict[str, tuple[Trial, ...]], chosen: dict[str, list[int]], ran: Outcomes, seconds: list[float]
    ) -> list[Entry]:
        assert ran.scores is not None
        seeds, entries, row = self.effort.seeds, [], 0
        for arm, step_seconds in zip(self.arms, seconds, strict=True):
            finals = []
            for index in chosen[arm.name]:
                rows = slice(row, row + seeds)
                examples = None if ran.examples is None else ran.examples[rows]
                finals.append(Final(index, ran.scores[rows], ran.curves.diverged[rows], examples))
                row += seeds
            entries.append(
                Entry(arm.name, trials[arm.name], tuple(finals), arm.space, arm.bytes_per_parameter, step_seconds)
            )
        return entries

    def _results(self, entries: list[Entry], tuned: Outcomes, ran: Outcomes, untrained_loss: float) -> list[ArmResult]:
        per_arm, results = self.effort.finalists * self.effort.seeds, []
        for i, (arm, entry) in enumerate(zip(self.arms, entries, strict=True)):
            best = list(range(i * per_arm, i * per_arm + self.effort.seeds))
            goals = reached(self.problem, ran.curves, best, untrained_loss, entry.step_seconds)
            rows = slice(i * self.effort.trials, (i + 1) * self.effort.trials)
            curves = {
                "loss": tuned.curves.valid_loss[rows].tolist(),
                "metric": tuned.curves.valid_metric[rows].tolist(),
            }
            results.append(ArmResult(arm, entry, tuple(goals), curves, self.problem.metric.bounds))
        return results

    def _judge(self, entries: list[Entry], results: list[ArmResult], untrained: float, difference: float) -> Verdict:
        verdict = decide(
            entries,
            higher_is_better=self.problem.metric.higher_is_better,
            untrained=untrained,
            smallest_difference=self.smallest_difference,
            effort_names_winner=self.effort.names_winner,
            seed=self.seed,
            metric=self.problem.metric.name,
        )
        warnings = list(verdict.warnings)
        if self.problem.target is not None:
            counts = {result.name: result.reached[0].reached for result in results}
            warnings += missed_target(counts, runs=self.effort.seeds)
        warnings += [*started_apart(difference), *one_at_a_time(self.obstacle)]
        return replace(verdict, warnings=tuple(warnings))

    def _untrained(self) -> tuple[float, float]:
        """Validation loss and test score before training, averaged over the final seeds."""
        lanes = make_lanes(self.problem, self.final_seeds, batched=self.batched)
        return float(lanes.evaluate(self.problem.valid).loss.mean()), float(lanes.evaluate(self.test).metric.mean())

    def _store(self, kind: str, runs: list[Run], scores: Any, outcomes: Outcomes) -> None:
        if self.storage is None:
            return
        arms = [arm for arm in self.arms for _ in range(len(runs) // len(self.arms))]
        curves = outcomes.curves
        self.storage.add(
            [
                StoredRun(
                    arm,
                    kind,
                    {name: run.rule.values[name] for name in arm.space},
                    run.seed,
                    float(scores[i]) if not curves.diverged[i] else float("nan"),
                    {"steps": curves.steps.tolist(), "valid_loss": [float(f"{x:.6g}") for x in curves.valid_loss[i]]},
                )
                for i, (arm, run) in enumerate(zip(arms, runs, strict=True))
            ]
        )

    def _protocol(self, untrained_loss: float, untrained_score: float, difference: float, cost: Cost) -> dict[str, Any]:
        problem = self.problem
        return {
            "problem": problem.name,
            "parameters": sum(p.numel() for p in problem.build(0).parameters() if p.requires_grad),
            "splits": {name: len(split) for name, split in problem.splits().items()},
            "metric": problem.metric.name,
            "higher_is_better": problem.metric.higher_is_better,
            "target": problem.target,
            "batch": problem.batch,
            "epochs": problem.epochs,
            "steps": problem.steps,
            "samples": problem.epochs * len(problem.train),
            "trials_per_arm": self.effort.trials,
            "finalists": self.effort.finalists,
            "seeds": self.effort.seeds,
            "points": "scrambled Sobol, log-uniform, drawn for each arm by itself",
            "seed": self.seed,
            "tuning_seed": self.tuning_seed,
            "final_seeds": list(self.final_seeds),
            "untrained_loss": untrained_loss,
            "untrained_score": untrained_score,
            "step_zero_largest_relative_difference": difference,
            "estimated_seconds": cost.seconds,
            "one_at_a_time": self.obstacle,
            "storage": None
            if self.storage is None
            else {"file": str(self.storage.path.resolve()), "study": self.storage.study_name},
            "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
            "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        }


def _distinct_seeds(seed: int, count: int) -> list[int]:
    """Different seeds that follow from one; a longer list begins with the shorter."""
    drawn = np.random.SeedSequence(seed).generate_state(4 * count) >> 1
    return list(dict.fromkeys(drawn.tolist()))[:count]
