"""Training the runs of one stage: what is kept already is taken from the store, the rest goes to the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fallline.racing.budget import Budget, budget_of
from fallline.racing.engines.engine import Engine
from fallline.racing.plan import Plan
from fallline.racing.runs import Outcome, Run, gather_jobs
from fallline.racing.storage.store import Store
from fallline.racing.watch import Watcher
from fallline.training import Problem


@dataclass
class Stages:
    """All that training a stage needs beside its runs; `granted` counts what each arm has been granted so far."""

    problem: Problem
    store: Store
    engine: Engine
    plan: Plan
    watcher: Watcher
    granted: dict[str, Budget] = field(default_factory=dict)

    def train(self, stage: str, runs: Sequence[Run], *, score: bool = False) -> list[Outcome]:
        """Train the runs of a stage and return their outcomes in order; every job is kept as it ends.

        `score` evaluates them on the test split as well. A job is trained again as a whole if any of its runs is
        missing, since the lanes of a population share their operations.
        """
        for run in runs:
            self.granted[run.arm] = self.granted.get(run.arm, Budget(0, 0, 0)) + budget_of(self.problem, [run])
        numbered = dict(enumerate(runs))
        found = dict(self.store.outcomes(stage))
        jobs = gather_jobs(numbered, width=self.plan.width, batched=self.plan.batched, score=score)
        left = {key: job for key, (numbers, job) in enumerate(jobs) if not found.keys() >= set(numbers)}
        total = sum(run.steps for run in runs)
        before = total - sum(job.lane_steps for job in left.values())
        self.watcher.stage(stage, total)
        self._show(numbered, found)
        self.watcher.advance(before)
        for key, outcomes in self.engine.train(self.problem, left, lambda done: self.watcher.advance(before + done)):
            missing = {
                number: outcome for number, outcome in zip(jobs[key][0], outcomes, strict=True) if number not in found
            }
            self.store.add(stage, {number: numbered[number] for number in missing}, missing)
            found.update(missing)
            self._show(numbered, missing)
        return [found[number] for number in numbered]

    def _show(self, runs: dict[int, Run], outcomes: dict[int, Outcome]) -> None:
        for number, outcome in outcomes.items():
            self.watcher.ran(runs[number], outcome)
