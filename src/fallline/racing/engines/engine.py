"""Where the jobs of a race are trained: what an engine offers, the one of this process, and which one a race takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from fallline import _asked
from fallline.racing.engines.dealing import Dealer
from fallline.racing.engines.stopwatch import Stopwatch
from fallline.racing.runs import Outcome, Progress, Tell, Work, train_job
from fallline.training import Problem, cores, torch_threads


class Engine(Protocol):
    """Trains runs; the outcomes are the same whichever engine does it."""

    #: How many jobs it trains at once.
    slots: int

    def train(self, problem: Problem, work: Work, tell: Tell) -> Iterator[tuple[list[int], list[Outcome]]]:
        """Train the runs that are wanted and yield the numbers of some with their outcomes, as they end, in any order.

        `tell` is called with how far the work has come, where runs that nobody wanted any more count as done.
        """

    def close(self) -> None:
        """Let go of what it holds: processes, connections."""


class LocalEngine:
    """Trains here, in this thread.

    Args:
        threads: Those of torch; None for as many as it uses.
    """

    slots = 1

    def __init__(self, threads: int | None = 1) -> None:
        self._threads = threads

    def train(self, problem: Problem, work: Work, tell: Tell) -> Iterator[tuple[list[int], list[Outcome]]]:
        """Train the runs and yield the numbers of some with their outcomes."""
        dealer, done = Dealer(work, self.slots), Progress()
        while numbers := dealer.deal([]):
            job, watch, before = work.job(numbers), Stopwatch(), done + Progress(dealer.settled)

            def say(steps: int, watch: Stopwatch = watch, before: Progress = before) -> None:
                if watch.due():
                    tell(before + watch.read(steps))

            with torch_threads(self._threads):
                outcomes = train_job(problem, job, say)
            took = watch.read(job.steps)
            dealer.learn(took.steps, took.busy)
            done += took
            yield numbers, outcomes
        tell(done + Progress(dealer.settled))

    def close(self) -> None:
        """Nothing is held."""


def choose_engine(workers: int | None = None, ray: str | None = None) -> Engine:
    """The engine of so many processes of this machine, one a core by default, or the Ray cluster's at an address.

    Raises ValueError where both are given or `workers` is no number of processes, and what the engine itself raises.

    >>> choose_engine(workers=1).slots
    1
    """
    if workers is not None and ray is not None:
        raise ValueError(
            "workers and ray are both given, but a race trains in processes of this machine or on a Ray cluster; "
            "leave one of them out"
        )
    if ray is not None:
        from fallline.racing.engines.ray_cluster import RayEngine

        return RayEngine(ray)
    if workers is not None and _asked.whole("workers", workers, error=ValueError) == 1:
        return LocalEngine()
    from fallline.racing.engines.processes import ProcessEngine

    return ProcessEngine(workers or cores())
