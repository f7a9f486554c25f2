"""Jobs trained on a Ray cluster, and a sentence, soon, where there is none to connect to."""

from __future__ import annotations

import functools
import importlib
import io
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import torch

from fallline.racing.engines.dealing import Dealer
from fallline.racing.engines.parcel import RERUNS, attempt, lost, pack_job, pack_problem, read_report, unpack
from fallline.racing.engines.stopwatch import Stopwatch
from fallline.racing.runs import Job, Outcome, Progress, Tell, Work
from fallline.training import Problem, ProblemError

#: Jobs in hand for each processor: so a machine that joins has one to begin, and a cluster knows that it may grow.
_IN_HAND = 2


class RayEngine:
    """Trains jobs as Ray tasks of one processor and one thread.

    The problem is put into the object store once, and each worker unpacks it once. The task of a worker or a machine
    that dies is run again, at most three times.

    `address` and the errors are those of `fallline.racing.engines.ray_cluster.connect`.
    """

    def __init__(self, address: str) -> None:
        self._ray, self._connected = connect(address)
        self.slots = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        # With that variable a run has the same bits in whatever company; Ray starts workers that have it.
        environment = {"env_vars": {"MKL_CBWR": os.environ.get("MKL_CBWR", "AUTO")}}
        self._task = self._ray.remote(num_cpus=1, max_retries=RERUNS, runtime_env=environment)(_train)
        self._sent: tuple[Problem, Any] | None = None
        self._shown: dict[Any, Any] = {}

    def train(self, problem: Problem, work: Work, tell: Tell) -> Iterator[tuple[list[int], list[Outcome]]]:
        """Train the runs and yield the numbers of some with their outcomes, as jobs end; `tell` is called then.

        Raises ProblemError for a problem that the workers can't load, ChildProcessError for runs that they keep dying
        of, and what the user's own code raises.
        """
        dealer, done = Dealer(work, self.slots), Progress()
        running: dict[Any, list[int]] = {}

        def deal() -> None:
            while len(running) < _IN_HAND * self.slots:
                left = [dealer.seconds(work.job(numbers).steps) for numbers in running.values()]
                if not (numbers := dealer.deal(left)):
                    return
                running[self._task.remote([self._stored(problem)], pack_job(work.job(numbers)))] = numbers

        try:
            deal()
            while running:
                (ended, *_), _ = self._ray.wait(list(running), num_returns=1)
                numbers = running.pop(ended)
                job = work.job(numbers)
                parcel, took = self._parcel(ended, job)
                dealer.learn(job.steps, took.busy)
                done += Progress(job.steps) + took
                yield numbers, read_report(parcel, self._shown)
                deal()
                tell(done + Progress(dealer.settled))
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

    def _parcel(self, task: Any, job: Job) -> tuple[bytes, Progress]:
        errors = self._ray.exceptions
        try:
            found: tuple[bytes, Progress] = self._ray.get(task)
        except errors.RayTaskError as error:  # of the user's own errors none gets here
            raise ProblemError(
                "the cluster's workers can't run Fallline; install the same version of it, with what the problem "
                f"imports, on every machine of the cluster. Ray says: {error}"
            ) from error
        except (errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError) as error:
            raise lost(job, 1 + RERUNS) from error
        return found


@functools.lru_cache(maxsize=1)
def _problem(stored: Any) -> Problem:
    problem: Problem = unpack(importlib.import_module("ray").get(stored))
    return problem


def _train(stored: list[Any], job: bytes) -> tuple[bytes, Progress]:
    """Train a job in a worker. The reference comes in a list, or Ray would hand over all data anew for each job."""
    torch.set_num_threads(1)  # Ray asks for that only where the machine's OMP_NUM_THREADS says nothing else
    watch = Stopwatch()
    return attempt(lambda: _problem(stored[0]), job, lambda steps: None), watch.read()


#: An address that does not answer like a Ray cluster keeps Ray itself trying for minutes.
_SECONDS_TO_OPEN, _SECONDS_TO_ANSWER = 5, 15
_CLIENT = "ray://"


def connect(address: str) -> tuple[Any, bool]:
    """The ray module, connected, and whether this call connected it: a session that there is already is used as it is.

    `address` is "auto" for the cluster that this machine is a part of, "local" for a new one on this machine alone,
    "host:port" or "ray://host:port".

    Raises ImportError without Ray, ValueError for what is no address, and ConnectionError, an OSError, where no cluster
    answers at the address.
    """
    try:
        ray = importlib.import_module("ray")
    except ImportError as error:
        raise ImportError("a race on a Ray cluster needs Ray: pip install 'fallline[ray]'") from error
    if ray.is_initialized():
        return ray, False
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", address)
    if address not in ("auto", "local"):
        _check_answers(address)
    options: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **options)
    except (Exception, SystemExit) as error:  # the latter is how Ray gives up
        raise _no_cluster(address, str(error) or "it does not answer") from error
    return ray, True


def _check_answers(address: str) -> None:
    host, _, port = address.removeprefix(_CLIENT).rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"ray must be 'auto', 'local', 'host:port' or 'ray://host:port'; got {address!r}")
    try:
        socket.create_connection((host, int(port)), _SECONDS_TO_OPEN).close()
    except OSError as error:
        raise _no_cluster(address, str(error)) from error
    if address.startswith(_CLIENT):
        return
    try:
        status = subprocess.run(
            [sys.executable, "-m", "ray.scripts.scripts", "status", "--address", address],
            capture_output=True, text=True, timeout=_SECONDS_TO_ANSWER, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise _no_cluster(address, f"no answer as Ray gives it within {_SECONDS_TO_ANSWER} s") from error
    if status.returncode:
        raise _no_cluster(address, (status.stderr.strip().splitlines() or ["it does not answer"])[-1])


def _no_cluster(address: str, reason: str) -> ConnectionError:
    said = reason.strip().partition("\n")[0].partition(". ")[0].rstrip(".")
    return ConnectionError(
        f"no Ray cluster can be used at '{address}' ({said}); start one with `ray start --head`, give the address "
        "that it prints, or ray='local' for a new one on this machine"
    )
