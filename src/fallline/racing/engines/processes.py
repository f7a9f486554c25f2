"""Work trained in processes of this machine, of one thread each."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any
from uuid import uuid4

from fallline.racing.engines.dealing import Dealer
from fallline.racing.engines.parcel import RERUNS, lost, pack_job, pack_problem, read_report
from fallline.racing.engines.workers import Worker
from fallline.racing.runs import Outcome, Progress, Tell, Work
from fallline.training import Problem

_SECONDS_BETWEEN_LOOKS = 0.2
#: Deaths after which a run is trained alone, so that it is known which one they are due to, and it has all memory.
_SUSPECT = 2
#: A job is taken over where it should then end in this share of the time that it is still expected to take, and not
#: before a process has had time to load what it needs.
_WORTH_TAKING_OVER, _SECONDS_BEFORE_TAKING_OVER = 0.6, 2.0


@dataclass(eq=False)
class _Task:
    """A job in hand."""

    numbers: list[int]
    steps: int
    parcel: bytes
    alone: bool


@dataclass(eq=False)
class _Hand:
    """A worker, and what it is doing since when."""

    worker: Worker
    task: _Task | None = None
    begun: float = 0.0
    progress: Progress = field(default_factory=Progress)


class ProcessEngine:
    """Trains in `workers` processes of one thread each, started as they are wanted.

    The problem is written to a file once, and its data are mapped by all processes. A process that dies loses only its
    own job, which is dealt out again. One that has nothing left to do takes over the job of one that is slow; of the
    two, whose outcomes are the same to the bit, the first counts.
    """

    def __init__(self, workers: int) -> None:
        self.slots = workers
        self._hands: dict[Connection, _Hand] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._sent: tuple[Problem, Path] | None = None
        self._shown: dict[Any, Any] = {}

    def train(self, problem: Problem, work: Work, tell: Tell) -> Iterator[tuple[list[int], list[Outcome]]]:
        """Train the runs and yield the numbers of some with their outcomes, as jobs end.

        Raises ProblemError for a problem that can't be sent to another process, ChildProcessError for runs that the
        processes keep dying of, and what the user's own code raises.
        """
        if work.runs:
            stage = _Stage(work, tell, self._file(problem), self._hands, self.slots)
            try:
                for numbers, parcel in stage.train():
                    yield numbers, read_report(parcel, self._shown)
            finally:
                stage.end_busy()  # after an error, an interrupt, or for a caller that wants no more

    def close(self) -> None:
        """End the processes and delete the files."""
        for hand in self._hands.values():
            hand.worker.end()
        self._hands.clear()
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


class _Stage:
    """One piece of work: what of it is dealt out, to whom, and what has become of it."""

    def __init__(self, work: Work, tell: Tell, file: Path, hands: dict[Connection, _Hand], slots: int) -> None:
        self._work, self._tell, self._file = work, tell, file
        self._hands, self._slots = hands, slots
        self._dealer = Dealer(work, slots)
        self._deaths = Counter[int]()
        self._failed_starts = 0
        self._ended = Progress()

    def train(self) -> Iterator[tuple[list[int], bytes]]:
        """Deal out jobs until there are no more, and yield the numbers of each one's runs with what came of it."""
        self._deal()
        self._tell(self._progress())
        while self._busy():
            for connection in wait(list(self._hands), _SECONDS_BETWEEN_LOOKS):
                hand = self._hands.get(connection)  # type: ignore[call-overload]
                if hand is None:  # it was ended just now
                    continue
                try:
                    told = hand.worker.connection.recv()
                except (EOFError, OSError):
                    self._lose(hand)
                    continue
                if (parcel := self._heard(hand, told)) is not None:
                    yield parcel
            self._deal()
            self._tell(self._progress())

    def end_busy(self) -> None:
        """End the workers that are in the midst of a job."""
        for hand in self._busy():
            self._drop(hand)

    def _busy(self) -> list[_Hand]:
        return [hand for hand in self._hands.values() if hand.task is not None]

    def _deal(self) -> None:
        """Give everyone who is free something to do, as long as there is something."""
        free = [hand for hand in self._hands.values() if hand.task is None]
        for _ in range(self._slots - len(self._busy())):
            task = self._next_task()
            if task is None:
                return
            hand = free.pop() if free else self._hired()
            hand.task, hand.begun, hand.progress = task, time.monotonic(), Progress()
            with suppress(OSError):  # it is gone, as will be found
                hand.worker.connection.send((self._file, task.parcel))

    def _hired(self) -> _Hand:
        worker = Worker(self._file.parent)
        self._hands[worker.connection] = hand = _Hand(worker)
        return hand

    def _next_task(self) -> _Task | None:
        left = [self._dealer.seconds(task.steps - done) for task, done in self._in_progress().items()]
        numbers = self._dealer.deal(left)
        if not numbers:
            return self._slow_task()
        job = self._work.job(numbers)
        return _Task(numbers, job.steps, pack_job(job), self._deaths[numbers[0]] >= _SUSPECT)

    def _slow_task(self) -> _Task | None:
        """The job whose end is the farthest away, if a process that begins it anew should end it much sooner."""
        spent, now = self._progress(), time.monotonic()
        share = spent.busy / max(spent.busy + spent.waited, 1e-9)
        farthest, found = 0.0, None
        busy = self._busy()
        for hand in busy:
            task, elapsed = hand.task, now - hand.begun
            if task is None or task.alone or sum(other.task is task for other in busy) > 1:
                continue
            done = max(hand.progress.steps, 1)
            left = elapsed * (task.steps / done - 1)
            anew = max(self._dealer.seconds(task.steps), hand.progress.busy * task.steps / done) / max(share, 1e-3)
            if elapsed > anew + _SECONDS_BEFORE_TAKING_OVER and anew < _WORTH_TAKING_OVER * left and left > farthest:
                farthest, found = left, task
        return found

    def _heard(self, hand: _Hand, told: int | tuple[bytes | None, Progress]) -> tuple[list[int], bytes] | None:
        """Take note of what a worker told: its number, how far it is, or what has come of its job."""
        if isinstance(told, int):
            hand.worker.pid, self._failed_starts = told, 0
            return None
        parcel, hand.progress = told
        task = hand.task
        if parcel is None or task is None:
            return None
        self._dealer.learn(task.steps, hand.progress.busy)
        self._spend(hand)
        self._ended += Progress(task.steps)
        hand.task = None
        for other in self._busy():
            if other.task is task:
                self._drop(other)
        for number in task.numbers:
            del self._deaths[number]
        return task.numbers, parcel

    def _lose(self, hand: _Hand) -> None:
        """Take back the job of a worker that has died, unless another is at it."""
        task = hand.task
        self._drop(hand, gone=True)
        if task is None or any(other.task is task for other in self._busy()):
            return
        if hand.worker.pid is None:
            self._failed_starts += 1
            if self._failed_starts > RERUNS * self._slots:  # all that wait for one server end when it does
                raise ChildProcessError(
                    "the processes that are to train end as they start; what they print says why. To train in this "
                    "process alone, give workers=1"
                )
        else:
            self._deaths.update(task.numbers)
        times = max(self._deaths[number] for number in task.numbers)
        if times > RERUNS:
            raise lost(self._work.job(task.numbers), times)
        self._dealer.put_back(task.numbers, alone=times >= _SUSPECT)

    def _drop(self, hand: _Hand, *, gone: bool = False) -> None:
        self._spend(hand)
        hand.worker.end(gone=gone)
        del self._hands[hand.worker.connection]

    def _spend(self, hand: _Hand) -> None:
        self._ended += replace(hand.progress, steps=0)

    def _in_progress(self) -> dict[_Task, int]:
        """The steps done of each job in hand."""
        done: dict[_Task, int] = {}
        for hand in self._busy():
            if hand.task is not None:
                done[hand.task] = max(done.get(hand.task, 0), hand.progress.steps)
        return done

    def _progress(self) -> Progress:
        done = self._ended + Progress(self._dealer.settled + sum(self._in_progress().values()))
        return sum((replace(hand.progress, steps=0) for hand in self._busy()), done)
