"""Jobs trained one after the other, in this process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fallline.racing.runs import Job, Outcome, Tell, train_job
from fallline.training import Problem


class LocalEngine:
    """Trains here, on all cores that torch uses."""

    slots = 1

    def train(self, problem: Problem, jobs: Mapping[int, Job], tell: Tell) -> Iterator[tuple[int, list[Outcome]]]:
        """Train jobs and yield each one's key with its outcomes."""
        done = 0
        for key, job in jobs.items():
            begun = done
            outcomes = train_job(problem, job, lambda steps, begun=begun: tell(begun + steps))  # type: ignore[misc]
            done += job.lane_steps
            tell(done)
            yield key, outcomes

    def close(self) -> None:
        """Nothing is held."""
