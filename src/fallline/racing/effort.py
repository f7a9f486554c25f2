"""How much a race may spend, the same for every arm: trials, finals and seeds, counted in runs, steps and seconds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fallline import _asked
from fallline._text import counted, duration, listed, rough_range

if TYPE_CHECKING:
    from fallline.racing.runs import Run
    from fallline.training import Problem


@dataclass(frozen=True, init=False)
class Effort:
    """Trials of each arm, how many of its best configurations run finals, on how many fresh seeds.

    Args:
        trials: Configurations that are tried of each arm.
        finalists: How many of them, the best by validation, run finals; None for 5, or all of fewer trials.
        seeds: Fresh seeds that each finalist runs on, the same for all arms.
        rounds: Rounds that the trials come in: the first draws Sobol points, the later ones are proposed by a model of
            the arm's trials so far. None searches a single range, as of the learning rate, in two stages: half of the
            trials evenly over all of it, the others evenly about the best of these; and draws Sobol points elsewhere.
        halving: Above 1 all trials start on a small share of the steps, and one in `halving` of each arm's goes on to
            `halving` times as many, until the finalists' runs are of full length.

    >>> Effort(trials=4)
    Effort(trials=4, finalists=4, seeds=10, rounds=None, halving=1)
    """

    trials: int
    finalists: int
    seeds: int
    rounds: int | None = None
    halving: int = 1

    def __init__(
        self, trials: int = 16, finalists: int | None = None, seeds: int = 10, rounds: int | None = None,
        halving: int = 1,
    ) -> None:  # fmt: skip
        if finalists is None:
            finalists = min(5, trials) if isinstance(trials, int) else 5
        given = {"trials": trials, "finalists": finalists, "seeds": seeds}
        for name, value in {**given, "rounds": rounds, "halving": halving}.items():
            object.__setattr__(self, name, value)


EFFORTS = {
    "quick": Effort(trials=8, finalists=2, seeds=5),
    "standard": Effort(trials=16, finalists=5, seeds=10),
    "thorough": Effort(trials=48, finalists=8, seeds=12),
}


def as_effort(effort: str | Effort, **others: int | None) -> Effort:
    """An effort by name, or as it is, with other counts where these are given: trials, finalists, seeds and so on.

    Where there are fewer trials than the effort's finalists, all of them run finals. Raises ValueError, in a sentence,
    for what can't be spent.

    >>> as_effort("standard", seeds=30, halving=2)
    Effort(trials=16, finalists=5, seeds=30, rounds=None, halving=2)
    """
    if isinstance(effort, str):
        if effort not in EFFORTS:
            raise ValueError(f"effort must be one of {', '.join(EFFORTS)}; got '{effort}'")
        effort = EFFORTS[effort]
    if not isinstance(effort, Effort):
        raise TypeError(
            f"effort must be one of {', '.join(EFFORTS)}, or an Effort, such as fallline.Effort(trials=16); "
            f"got {effort!r}"
        )
    other = {name: value for name, value in others.items() if value is not None}
    if "trials" in other and "finalists" not in other and isinstance(other["trials"], int):
        other["finalists"] = min(effort.finalists, other["trials"])
    counts = {
        name: _asked.whole(f"{name} of an effort", value, error=ValueError)
        for name, value in {**vars(effort), **other}.items()
        if (name, value) != ("rounds", None)
    }
    effort = Effort(**counts)
    for name in ("finalists", "rounds", "halving"):
        if counts.get(name, 1) > effort.trials:
            raise ValueError(f"{name} must be at most the {effort.trials} trials of the effort; got {counts[name]}")
    return effort


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
    each = (Budget(1, run.steps, problem.with_batch(run.batch).batches([run.seed]).samples(run.steps)) for run in runs)
    return sum(each, Budget(0, 0, 0))


@dataclass(frozen=True)
class Cost:
    """The budget of each stage, all arms together, and the seconds that it should take.

    `kept` is what of the tuning need not be trained, since its runs are kept, `kept_finals` what is known to be kept of
    the finals.
    """

    arms: int
    tuning: Budget
    finals: Budget
    seconds_per_step: float
    slots: int
    kept: Budget = Budget(0, 0, 0)
    kept_finals: Budget = Budget(0, 0, 0)

    @property
    def seconds(self) -> float:
        """Of what is to be trained, by its steps alone, where it has the machine to itself."""
        steps = self.tuning.steps - self.kept.steps + self.finals.steps - self.kept_finals.steps
        return steps * self.seconds_per_step / self.slots

    def before(self) -> str:
        """All of it, before anything is spent.

        >>> Cost(1, Budget(8, 2720, 172480), Budget(5, 1700, 107800), 1.6e-3, 1).before().split(": ")[1]
        '13 runs (8 to tune, 5 finals), 4,420 steps and 280,280 samples in all, 7 to 15 seconds of training by steps \
measured just now.'
        """
        both = self.tuning + self.finals
        # Beside its steps, training evaluates, and processes start.
        seconds = rough_range(self.seconds, 2 * self.seconds + 1)
        each = ((self.kept, "of those to tune"), (self.kept_finals, "of the finals"))
        there = [f"{budget.runs} {which}" for budget, which in each if budget.runs]
        kept = f" {listed(there)} are kept already." if there else ""
        runs = f"{counted(both.runs, 'run')} ({self.tuning.runs} to tune, {counted(self.finals.runs, 'final')})"
        return (
            f"{counted(self.arms, 'arm')}: {runs if self.tuning.runs else counted(self.finals.runs, 'final')}, "
            f"{counted(both.steps, 'step')} and "
            f"{counted(both.samples, 'sample')} in all, {seconds} of training by steps measured just now.{kept}"
        )

    def after_tuning(self, seconds: float) -> str | None:
        """What the finals should take at most, now that the tuning took so long; None where none of it was trained."""
        trained = self.tuning.steps - self.kept.steps
        if not trained:
            return None
        finals = seconds * (self.finals.steps - self.kept_finals.steps) / trained
        return f"Tuning took {duration(seconds)}; the finals should take {rough_range(finals / 2, finals)}."
