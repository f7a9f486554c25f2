"""How long the rest of a stage takes, from what its last steps took, and whether other work holds it up."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from fallline._text import rough_duration
from fallline.racing.runs import Progress

#: Seconds that are looked back on, and the fewest that say something.
_BACK, _FEWEST = 20.0, 1.0
#: Shares of their time for which processes have a processor: below the first it is said that other work runs on the
#: machine, and above the second that it does no longer, once that has been so for some seconds and some are left.
_SLOWED, _CALM = 0.7, 0.85
_SECONDS_SO, _SECONDS_LEFT = 5.0, 5.0


class Forecast:
    """Estimates that follow what is measured while a race runs.

    Args:
        slots: How many processes train.
        processors: How many there are for them.
        note: Told, in a sentence, that other work runs on the machine, and that it does no longer.
        clock: Tells seconds.
    """

    def __init__(
        self, slots: int, processors: int, note: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._at_once = min(slots, processors)
        self._fair = self._at_once / slots
        self._note, self._clock = note, clock
        self._slowed = False
        self._since: float | None = None  # when it began to look otherwise
        self.begin(0)

    def begin(self, steps: int) -> None:
        """A stage begins.

        Args:
            steps: Run-steps that are still to be trained.
        """
        self._steps = steps
        self._seen = deque([(self._clock(), Progress())])

    def update(self, progress: Progress) -> tuple[float, float] | None:
        """The fewest and the most seconds that the rest should take; None as long as that is not known.

        Args:
            progress: How far the stage has come.
        """
        now = self._clock()
        self._seen.append((now, progress))
        while now - self._seen[1][0] > _BACK:
            self._seen.popleft()
        left = max(0, self._steps - progress.steps)
        self._look(now, progress, left)
        # By all that is looked back on, and by its later half.
        since = [seen for seen in (self._seen[0], self._seen[len(self._seen) // 2]) if now - seen[0] >= _FEWEST]
        rates = [(progress.steps - then.steps) / (now - begun) for begun, then in since]
        return (left / max(rates), left / min(rates)) if rates and min(rates) > 0 else None

    def _look(self, now: float, progress: Progress, left: int) -> None:
        """Say it where other work has come or gone."""
        then = next((seen for begun, seen in reversed(self._seen) if now - begun >= _SECONDS_SO), progress)
        steps, busy, waited = progress.steps - then.steps, progress.busy - then.busy, progress.waited - then.waited
        if steps <= 0 or busy <= 0:
            return
        share = busy / (busy + waited) / self._fair
        alone = left * busy / steps / self._at_once
        if (share < _CALM if self._slowed else share > _SLOWED) or alone / share < _SECONDS_LEFT:
            self._since = None
            return
        self._since = now if self._since is None else self._since
        if now - self._since < _SECONDS_SO:
            return
        self._slowed, self._since = not self._slowed, None
        with_it, without = rough_duration(alone / share), rough_duration(alone)
        if self._slowed:
            self._note(f"Other work runs on this machine: {with_it} instead of {without}.")
        else:
            self._note(f"The other work on this machine is over: {without} left.")
