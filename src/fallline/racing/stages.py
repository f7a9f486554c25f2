"""How the runs of a stage are trained: by a plan settled as the race starts, taken from the store or by the engine."""

from __future__ import annotations

import functools
import itertools
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from fallline.racing.effort import Budget, budget_of
from fallline.racing.engines import Engine, LocalEngine, can_be_sent
from fallline.racing.forecast import Forecast
from fallline.racing.runs import Job, Outcome, Progress, Run, Work, population
from fallline.racing.storage import Keys, Lasting
from fallline.training import Problem, cores, fastest, lanes_that_fit

TRAINING = ("auto", "batched", "in turn", "threads")


@dataclass(frozen=True)
class Plan:
    """The way of training, and at most how many runs a population has.

    `training` is "batched" (side by side) or "in turn", each in processes of one thread, or "threads" (in turn, in this
    process, by all of torch's threads). `obstacle` says why the runs can't be batched, where they can't. `seconds` are
    those of a core, for "threads" of all cores, that one step of one run takes, measured.
    """

    training: str
    width: int
    obstacle: str | None
    seconds: float

    @property
    def threads(self) -> int | None:
        """Those of torch for a run alone; None for as many as it uses anyway."""
        return None if self.training == "threads" else 1

    @property
    def batched(self) -> bool:
        """Whether the runs of a population share every operation."""
        return self.training == "batched"


def make_plan(problem: Problem, runs: Sequence[Run], training: str) -> Plan:
    """Measure some steps of each way of training and settle on the fastest, unless the way is given.

    Raises ValueError, in a sentence, where `training` is no such way, or is "batched" and the model can't be.
    """
    if training == "processes":
        raise ValueError(
            "training='processes' is no way of its own any more: 'batched' and 'in turn' both train in one process a "
            "core; give one of them, or leave it out for the faster one"
        )
    if training not in TRAINING:
        raise ValueError(f"training must be one of {', '.join(map(repr, TRAINING))}; got {training!r}")
    typical = _typical(problem, runs)
    speed = fastest(problem, runs[0].seed, lambda some, batched: population(problem, typical[:some], batched))
    if training == "batched" and speed.obstacle is not None:
        raise ValueError(f"training='batched': this model's runs can't be batched ({speed.obstacle}); leave it out")
    way = speed.way if training == "auto" else training
    largest = problem.with_batch(max(run.batch for run in runs))
    return Plan(way, lanes_that_fit(largest, max(run.steps for run in runs)), speed.obstacle, speed.seconds[way])


def engine_for(
    plan: Plan, engine: Engine, problem: Problem, runs: Sequence[Run], note: Callable[[str], None], *, asked: bool
) -> Engine:
    """The engine that there is, or this process, where that is faster or the race can't be sent to another one.

    Args:
        plan: How runs are trained.
        engine: The one that there is.
        problem: What is trained.
        runs: All of them.
        note: Told, in a sentence, where the race can't be sent.
        asked: Whether the engine was asked for; then it is this one or an error.

    Raises:
        ValueError: It was asked for, and "threads" are as well, which are those of this process.
    """
    if plan.training == "threads":
        if asked:
            raise ValueError(
                "training='threads' trains in this process, by all its threads, but workers or ray is given as well; "
                "leave one of them out"
            )
        return LocalEngine(threads=None)
    if asked:
        return engine
    if problem.training_device.type != "cpu":
        return LocalEngine()
    each = {run.arm: run for run in runs}
    if can_be_sent(problem, Job(tuple(each.values()), False, True)):
        return engine
    note("The problem or an arm can't be sent to other processes, so all runs are trained in this one, by one thread.")
    return LocalEngine()


class Watcher:
    """Told of the race and its stages as they begin, of steps forward, of runs as they end, and what is worth a line.

    This one looks away; one's own overrides what it wants to be told.

    >>> class Diverged(Watcher):
    ...     def ran(self, run, outcome):
    ...         if outcome.diverged:
    ...             print(run.arm, run.configuration)
    """

    def planned(self, runs: int) -> None:
        """The race is about to begin.

        Args:
            runs: How many all its stages have, those that are there already among them.
        """

    def stage(self, title: str, total: int) -> None:
        """A stage begins.

        Args:
            title: What it is called, such as "tuning" or "finals".
            total: The steps of all its runs.
        """

    def advance(self, done: int) -> None:
        """The stage has come further.

        Args:
            done: How many of its steps are done by now.
        """

    def left(self, low: float, high: float) -> None:
        """There is an estimate of how long the rest of the stage takes, by what its last steps took.

        Args:
            low: Seconds that it should take at least.
            high: Seconds that it should take at most.
        """

    def ran(self, run: Run, outcome: Outcome) -> None:
        """A run of the stage has ended, or was kept before.

        Args:
            run: What was trained.
            outcome: What it came to.
        """

    def note(self, line: str) -> None:
        """There is something worth a line.

        Args:
            line: A sentence or two.
        """


@dataclass
class Stages:
    """All that training a stage needs beside its runs.

    `granted` counts what each arm has been granted so far; `trained` and `kept_before` are the keys of the race's runs,
    by whether they were trained here or read.
    """

    problem: Problem
    store: Lasting
    keys: Keys
    engine: Engine
    plan: Plan
    watcher: Watcher
    granted: dict[str, Budget] = field(default_factory=dict)
    trained: set[str] = field(default_factory=set)
    kept_before: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._forecast = Forecast(self.engine.slots, cores(), self.watcher.note)

    def train(self, stage: str, runs: Sequence[Run], *, score: bool = False) -> list[Outcome]:
        """Have the runs of a stage, in order: read where they are kept, trained and kept where they are not.

        `score` evaluates them on the test split as well. Runs of one key are one run.
        """
        for run in runs:
            self.granted[run.arm] = self.granted.get(run.arm, Budget(0, 0, 0)) + budget_of(self.problem, [run])
        numbered = dict(enumerate(runs))
        keys = {i: self.keys.of(run, batched=self.plan.batched, scored=score) for i, run in numbered.items()}
        total = sum(run.steps for run in runs)
        self.watcher.stage(stage, total)
        found: dict[int, Outcome] = {}
        # In a second turn runs that another race has kept meanwhile are read, and trained if they can't be.
        for wanted in (functools.partial(self._missing, keys), list):
            self._read(stage, numbered, keys, found)
            first = {keys[number]: number for number in reversed(numbered) if number not in found}
            left = {number: numbered[number] for number in _from_own_place(sorted(first.values()))}
            if not left:
                break
            before = total - sum(numbered[number].steps for number in numbered if number not in found)
            self.watcher.advance(before)
            work = Work(left, self.plan.batched, score, self.plan.width, self.plan.seconds, wanted)

            self._forecast.begin(total - before)

            def tell(progress: Progress, before: int = before) -> None:
                self.watcher.advance(before + progress.steps)
                if (seconds := self._forecast.update(progress)) is not None:
                    self.watcher.left(*seconds)

            for numbers, outcomes in self.engine.train(self.problem, work, tell):
                new = {keys[number]: outcome for number, outcome in zip(numbers, outcomes, strict=True)}
                same = {number: new[key] for number, key in keys.items() if key in new and number not in found}
                self.trained |= new.keys()
                self.store.add(stage, keys, numbered, same)
                self._show(numbered, same, found)
        self.watcher.advance(total)
        return [found[number] for number in numbered]

    def _read(self, stage: str, runs: Mapping[int, Run], keys: Mapping[int, str], found: dict[int, Outcome]) -> None:
        """What is kept of the runs that are not found yet."""
        asked = {number: key for number, key in keys.items() if number not in found}
        kept = self.store.read(list(asked.values()))
        there = {number: kept[key] for number, key in asked.items() if key in kept}
        if there:
            self.store.ask(stage, {number: keys[number] for number in there})
            self.kept_before |= kept.keys() - self.trained
        self._show(runs, there, found)

    def _missing(self, keys: Mapping[int, str], numbers: list[int]) -> list[int]:
        """Those of some runs that nobody has kept by now: another race may train the same."""
        there = self.store.there([keys[number] for number in numbers])
        return [number for number in numbers if keys[number] not in there]

    def _show(self, runs: Mapping[int, Run], outcomes: Mapping[int, Outcome], found: dict[int, Outcome]) -> None:
        found.update(outcomes)
        for number, outcome in outcomes.items():
            self.watcher.ran(runs[number], outcome)


def _from_own_place(numbers: list[int]) -> list[int]:
    """Numbers from a place of this process's own on, and around, so that races that need the same runs share them."""
    place = os.getpid() % max(1, len(numbers))
    return numbers[place:] + numbers[:place]


def _typical(problem: Problem, runs: Sequence[Run]) -> list[Run]:
    """Runs of the batch size nearest to the problem's, in an order whose beginnings are spread over all arms."""
    nearest = min({run.batch for run in runs}, key=lambda batch: abs(math.log(batch / problem.batch)))
    alike = [run for run in runs if run.batch == nearest]
    by_arm: dict[str, list[Run]] = {}
    for run in alike:
        by_arm.setdefault(run.arm, []).append(run)
    turns = itertools.zip_longest(*by_arm.values())
    return [run for turn in turns for run in turn if run is not None]
