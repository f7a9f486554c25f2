"""What an engine offers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from fallline.racing.runs import Job, Outcome, Tell
from fallline.training import Problem


class Engine(Protocol):
    """Trains jobs; the outcomes are the same, to rounding, whichever engine does it."""

    #: How many jobs it trains at once.
    slots: int

    def train(self, problem: Problem, jobs: Mapping[int, Job], tell: Tell) -> Iterator[tuple[int, list[Outcome]]]:
        """Train jobs and yield each one's key with its outcomes, as it finishes, in any order.

        `tell` is called with the run-steps of these jobs that are done so far.
        """

    def close(self) -> None:
        """Let go of what it holds: processes, connections."""
