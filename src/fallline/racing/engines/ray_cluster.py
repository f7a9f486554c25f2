"""Jobs trained on a Ray cluster."""

from __future__ import annotations

import functools
import importlib
import io
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from fallline.racing.engines.attempt import RERUNS, attempt, lost, read_report
from fallline.racing.engines.parcel import pack_job, pack_problem, unpack
from fallline.racing.engines.ray_connection import connect
from fallline.racing.runs import Job, Outcome, Tell
from fallline.training import Problem, ProblemError


class RayEngine:
    """Trains each job as a Ray task of one processor and one thread.

    The problem is put into the object store once, and each worker unpacks it once. The task of a worker or a machine
    that dies is run again, at most three times.

    `address` and the errors are those of `fallline.racing.engines.ray_connection.connect`.
    """

    def __init__(self, address: str) -> None:
        self._ray, self._connected = connect(address)
        self.slots = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        self._task = self._ray.remote(num_cpus=1, max_retries=RERUNS)(_train)
        self._sent: tuple[Problem, Any] | None = None
        self._shown: dict[Any, Any] = {}

    def train(self, problem: Problem, jobs: Mapping[int, Job], tell: Tell) -> Iterator[tuple[int, list[Outcome]]]:
        """Train jobs and yield each one's key with its outcomes, as it finishes; `tell` is called then.

        Raises ProblemError for a problem that the workers can't load, ChildProcessError for a job that they keep dying
        of, and what the user's own code raises.
        """
        if not jobs:
            return
        stored = self._stored(problem)
        running = {self._task.remote([stored], pack_job(job)): key for key, job in jobs.items()}
        done = 0
        try:
            while running:
                (ended, *_), _ = self._ray.wait(list(running), num_returns=1)
                key = running.pop(ended)
                outcomes = read_report(self._parcel(ended, jobs[key]), self._shown)
                done += jobs[key].lane_steps
                tell(done)
                yield key, outcomes
        finally:
            for task in running:  # an error, an interrupt, or a caller that wants no more
                self._ray.cancel(task, force=True)

    def close(self) -> None:
        """Leave the cluster, if it was this engine that joined it."""
        self._sent = None
        if self._connected:
            self._ray.shutdown()
        self._connected = False

    def _stored(self, problem: Problem) -> Any:
        """The reference to the packed problem in the object store."""
        if self._sent is None or self._sent[0] is not problem:
            buffer = io.BytesIO()
            pack_problem(problem, buffer)
            self._sent = problem, self._ray.put(buffer.getvalue())
        return self._sent[1]

    def _parcel(self, task: Any, job: Job) -> bytes:
        errors = self._ray.exceptions
        try:
            parcel: bytes = self._ray.get(task)
        except errors.RayTaskError as error:  # of the user's own errors none gets here
            raise ProblemError(
                "the cluster's workers can't run Fallline; install the same version of it, with what the problem "
                f"imports, on every machine of the cluster. Ray says: {error}"
            ) from error
        except (errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError) as error:
            raise lost(job, 1 + RERUNS) from error
        return parcel


@functools.lru_cache(maxsize=1)
def _problem(stored: Any) -> Problem:
    problem: Problem = unpack(importlib.import_module("ray").get(stored))
    return problem


def _train(stored: list[Any], job: bytes) -> bytes:
    """Train a job in a worker. The reference comes in a list, or Ray would hand over all data anew for each job."""
    torch.set_num_threads(1)  # Ray asks for that only where the machine's OMP_NUM_THREADS says nothing else
    return attempt(lambda: _problem(stored[0]), job, lambda steps: None)
