"""Where the jobs of a race are trained: what an engine offers, the one of this process, and which one a race takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

from fallline import _asked
from fallline.racing.runs import Outcome, Tell, Work, gather_jobs, train_job
from fallline.training import Problem


class Engine(Protocol):
    """Trains jobs; the outcomes are the same, to rounding, whichever engine does it."""

    #: How many jobs it trains at once.
    slots: int

    def train(self, problem: Problem, work: Work, tell: Tell) -> Iterator[tuple[list[int], list[Outcome]]]:
        """Train jobs and yield each one's key with its outcomes, as it finishes, in any order.

        `tell` is called with the run-steps of these jobs that are done so far.
        """

    def close(self) -> None:
        """Let go of what it holds: processes, connections."""


class LocalEngine:
    """Trains here, on all cores that torch uses."""

    slots = 1

    def train(self, problem: Problem, work: Work, tell: Tell) -> Iterator[tuple[list[int], list[Outcome]]]:
        """Train jobs and yield each one's key with its outcomes."""
        done = 0
        for numbers, job in gather_jobs(work.runs, width=work.width, batched=work.batched, score=work.score):
            begun, left = done, work.wanted(numbers)
            if left:
                job = replace(job, runs=tuple(work.runs[number] for number in left))
                outcomes = train_job(problem, job, lambda steps, begun=begun: tell(begun + steps))  # type: ignore[misc]
                yield left, outcomes
            done += sum(work.runs[number].steps for number in numbers)
            tell(done)

    def close(self) -> None:
        """Nothing is held."""


def choose_engine(workers: int | None = None, ray: str | None = None) -> Engine:
    """The engine for so many processes of this machine, or for the Ray cluster at an address; by default neither.

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
    if workers is None:
        return LocalEngine()
    processes = _asked.whole("workers", workers, error=ValueError)
    if processes == 1:
        return LocalEngine()
    from fallline.racing.engines.processes import ProcessEngine

    return ProcessEngine(processes)
