"""Jobs trained in processes of this machine."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import tempfile
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import torch
from loky import ProcessPoolExecutor

from fallline.racing.engines.parcel import RERUNS, attempt, lost, pack_job, pack_problem, read_report, unpack
from fallline.racing.runs import Job, Outcome, Tell
from fallline.training import Problem

_SECONDS_BETWEEN_TELLS = 0.2
#: After so long with nothing to do a process ends, as it must where the one that gave it work was killed.
_IDLE_SECONDS = 60
#: Elsewhere a process keeps its parent's number when that is gone.
_POSIX = os.name == "posix"


class ProcessEngine:
    """Trains in `workers` processes, which share torch's threads evenly and start with the first job.

    The problem is written to a file once, and its data are mapped by all processes. A process that dies takes the
    others with it; the jobs they had begun are begun again in new ones, each at most three times, and one by one once
    that has happened twice: so it is known which job they die of, and each has all memory.
    """

    def __init__(self, workers: int) -> None:
        self.slots = workers
        self._executor: Any = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._sent: tuple[Problem, Path] | None = None
        self._shown: dict[Any, Any] = {}

    def train(self, problem: Problem, jobs: Mapping[int, Job], tell: Tell) -> Iterator[tuple[int, list[Outcome]]]:
        """Train jobs and yield each one's key with its outcomes, as it finishes.

        Raises ProblemError for a problem that can't be sent to another process, ChildProcessError for a job that the
        processes keep dying of, and what the user's own code raises.
        """
        if not jobs:
            return
        file = self._file(problem)
        # A row of a file that all map: the run-steps done of each job.
        done = np.memmap(file.with_suffix(".done"), np.int64, "w+", shape=len(jobs))
        place = {key: i for i, key in enumerate(jobs)}
        waiting, running, deaths = deque(jobs), dict[Future[bytes], int](), Counter[int]()
        try:
            while waiting or running:
                # Only as many as there are processes, so that it is known which jobs a death may have been due to.
                at_once = 1 if max(deaths.values(), default=0) > 1 else self.slots
                while waiting and len(running) < at_once:
                    key = waiting.popleft()
                    running[self._submit(file, pack_job(jobs[key]), place[key])] = key
                ended, _ = wait(running, _SECONDS_BETWEEN_TELLS, FIRST_COMPLETED)
                tell(int(done.sum()))
                for future in ended:
                    try:
                        parcel = future.result()
                    except BrokenProcessPool:
                        continue
                    key = running.pop(future)
                    deaths.pop(key, None)
                    done[place[key]] = jobs[key].lane_steps
                    tell(int(done.sum()))
                    yield key, read_report(parcel, self._shown)
                if not ended.isdisjoint(running):  # those are of a pool that is no more, as are all others
                    self._stop(kill=True)
                    deaths.update(running.values())
                    waiting.extendleft(running.values())
                    running.clear()
                    for key, times in deaths.items():
                        if times > RERUNS:
                            raise lost(jobs[key], times)
        finally:
            if running:  # an error, an interrupt, or a caller that wants no more
                self._stop(kill=True)

    def close(self) -> None:
        """End the processes and delete the files."""
        self._stop(kill=False)
        if self._folder is not None:
            self._folder.cleanup()
        self._folder = self._sent = None

    def _file(self, problem: Problem) -> Path:
        """The file that the problem is packed into."""
        if self._sent is None or self._sent[0] is not problem:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="fallline-", ignore_cleanup_errors=True)
            path = Path(self._folder.name, uuid4().hex)
            pack_problem(problem, path)
            self._sent = problem, path
        return self._sent[1]

    def _submit(self, file: Path, job: bytes, place: int) -> Future[bytes]:
        if self._executor is None:
            self._executor = _start(self.slots)
        try:
            future: Future[bytes] = self._executor.submit(_train, file, job, place, os.getpid())
        except BrokenProcessPool:  # a process died while it had nothing to do
            self._stop(kill=True)
            return self._submit(file, job, place)
        return future

    def _stop(self, *, kill: bool) -> None:
        if self._executor is not None:
            self._executor.shutdown(kill_workers=kill)
        self._executor = None


def _start(workers: int) -> Any:
    threads = max(1, torch.get_num_threads() // workers)
    # The variable is for torch as well as for what else the user's model calls; it is read when they are loaded.
    variables = {"OMP_NUM_THREADS": str(threads)}
    return ProcessPoolExecutor(workers, timeout=_IDLE_SECONDS, initializer=_prepare, env=variables)


def _prepare() -> None:
    """Leave Ctrl-C, which a terminal sends to all processes, to the one that started them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@functools.lru_cache(maxsize=1)
def _problem(file: Path) -> Problem:
    problem: Problem = unpack(file)
    return problem


def _train(file: Path, job: bytes, place: int, parent: int) -> bytes:
    """Train a job in a worker; the steps done are noted at its place in the file beside the problem's."""
    done = np.memmap(file.with_suffix(".done"), np.int64, "r+")

    def tell(steps: int) -> None:
        done[place] = steps
        if _POSIX and os.getppid() != parent:  # it was killed, and nobody waits for this any more
            shutil.rmtree(file.parent, ignore_errors=True)
            os._exit(1)

    return attempt(lambda: _problem(file), job, tell)
