"""Cutting the runs of some work into jobs, so that all processes finish together."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from fallline.racing.runs import Work, alike

#: Seconds of a processor that a job should take: less is lost when it is interrupted, but a population of few runs
#: pays as much for the operations of a step as one of many.
_SECONDS = 2.0
_LEAST = 1e-9


class Dealer:
    """Deals out jobs one by one, to whichever process is free.

    Args:
        work: What is to be trained.
        slots: How many processes train at once.
    """

    def __init__(self, work: Work, slots: int) -> None:
        self._work = work
        self._slots = slots
        self._left = deque(map(deque, alike(work.runs)))
        self._suspects = deque[int]()
        self._steps_left = self._steps([*work.runs])
        self._each = max(work.seconds, _LEAST)
        self._learned = 0, 0.0
        self.settled = 0  # run-steps that nobody wanted any more

    def deal(self, in_progress: Sequence[float]) -> list[int]:
        """The numbers of the runs of the next job; none where there is none for now.

        Args:
            in_progress: Seconds of a processor that each job which others have in hand still takes.
        """
        while self._left:
            group = self._left[0]
            steps = self._work.runs[group[0]].steps
            part = [group.popleft() for _ in range(min(len(group), self._width(steps, sum(in_progress))))]
            if not group:
                self._left.popleft()
            if wanted := self._wanted(part):
                return wanted
        while self._suspects and not in_progress:
            if wanted := self._wanted([self._suspects.popleft()]):
                return wanted
        return []

    def put_back(self, numbers: Sequence[int], *, alone: bool) -> None:
        """Take back the runs of a process that died.

        Args:
            numbers: Of the runs.
            alone: Whether each is to be trained alone, when nothing else is: so it is known which one processes die of,
                and it has all memory.
        """
        if alone:
            self._suspects.extend(numbers)
        else:
            self._left.appendleft(deque(numbers))
        self._steps_left += self._steps(numbers)

    def _wanted(self, part: list[int]) -> list[int]:
        self._steps_left -= self._steps(part)
        wanted = self._work.wanted(part)
        self.settled += self._steps(part) - self._steps(wanted)
        return wanted

    def _steps(self, numbers: Sequence[int]) -> int:
        return sum(self._work.runs[number].steps for number in numbers)

    def learn(self, steps: int, seconds: float) -> None:
        """Take over what a job has measured: the seconds of a processor that so many run-steps took."""
        self._learned = self._learned[0] + steps, self._learned[1] + seconds
        self._each = max(self._learned[1] / self._learned[0], _LEAST)

    def seconds(self, steps: int) -> float:
        """Seconds of a processor that so many run-steps should take."""
        return steps * self._each

    def _width(self, steps: int, elsewhere: float) -> int:
        """How many runs, each of so many steps, so that equally long jobs bring all processes to the end together."""
        each = self.seconds(steps)
        fair = (elsewhere + self.seconds(self._steps_left)) / self._slots / each
        most = max(1.0, min(self._work.width, _SECONDS / each))
        return math.ceil(fair / math.ceil(fair / most) - 1e-6)
