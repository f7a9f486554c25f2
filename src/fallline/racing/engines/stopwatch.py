"""How long training keeps a processor busy, and how long it waits for one that other work has."""

from __future__ import annotations

import time
from pathlib import Path

from fallline.racing.runs import Progress

_SECONDS_BETWEEN_TELLS = 0.2


class Stopwatch:
    """How long this thread has been at work since it was made, and how long it had to wait for a processor."""

    def __init__(self) -> None:
        self._begun = _times()
        self._told = time.monotonic()

    def due(self) -> bool:
        """Whether it is time to tell of it again."""
        now = time.monotonic()
        due = now - self._told >= _SECONDS_BETWEEN_TELLS
        if due:
            self._told = now
        return due

    def read(self, steps: int = 0) -> Progress:
        """So many run-steps, and the seconds since it was made."""
        busy, waited = (now - then for now, then in zip(_times(), self._begun, strict=True))
        return Progress(steps, busy, waited)


def _times() -> tuple[float, float]:
    """Seconds for which this thread had a processor, and for which it waited for one that other work had.

    Where the system does not say the latter, whatever time a thread has no processor counts.
    """
    busy = time.thread_time()
    try:
        waited = int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        waited = time.monotonic() - busy
    return busy, waited
