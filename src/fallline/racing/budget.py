"""What a race grants every arm, counted, and what it should cost, said before it starts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fallline.racing.runs import Run
from fallline.racing.wording import counted, duration, rough_duration
from fallline.training import Problem


@dataclass(frozen=True)
class Budget:
    """Runs, steps and samples of some runs together."""

    runs: int
    steps: int
    samples: int

    def __add__(self, other: Budget) -> Budget:
        return Budget(self.runs + other.runs, self.steps + other.steps, self.samples + other.samples)


def budget_of(problem: Problem, runs: Iterable[Run]) -> Budget:
    """What some runs are granted: those that diverge stop early and use less."""
    total = Budget(0, 0, 0)
    for run in runs:
        samples = problem.with_batch(run.batch).batches([run.seed]).samples(run.steps)
        total += Budget(1, run.steps, samples)
    return total


@dataclass(frozen=True)
class Cost:
    """The budget of each stage, all arms together, and the seconds that it should take."""

    arms: int
    tuning: Budget
    finals: Budget
    seconds_per_step: float
    slots: int

    @property
    def seconds(self) -> float:
        """Of the whole race."""
        return (self.tuning.steps + self.finals.steps) * self.seconds_per_step / self.slots

    def before(self) -> str:
        """All of it, before anything is spent.

        >>> Cost(1, Budget(8, 2720, 172480), Budget(5, 1700, 107800), 1.6e-3, 1).before().split(": ")[1]
        '13 runs (8 to tune, 5 finals), 4,420 steps and 280,280 samples in all, about 7 seconds of training by steps \
measured just now.'
        """
        both = self.tuning + self.finals
        return (
            f"{counted(self.arms, 'arm')}: {counted(both.runs, 'run')} ({self.tuning.runs} to tune, "
            f"{counted(self.finals.runs, 'final')}), {counted(both.steps, 'step')} and "
            f"{counted(both.samples, 'sample')} in all, {rough_duration(self.seconds)} of training by steps measured "
            "just now."
        )

    def after_tuning(self, seconds: float) -> str:
        """What the finals should take, now that the tuning took so long."""
        finals = seconds * self.finals.steps / self.tuning.steps
        return f"Tuning took {duration(seconds)}; the finals should take {rough_duration(finals)}."
