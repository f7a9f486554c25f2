"""Who looks on while a race runs: stages with their progress, runs as they end, and lines of text."""

from __future__ import annotations

from typing import Protocol

from fallline.racing.runs import Outcome, Run


class Watcher(Protocol):
    """Told of each stage as it begins, of steps forward in it, of each run as it ends, and of what is worth a line."""

    def stage(self, title: str, total: int) -> None:
        """A stage of `total` units begins."""

    def advance(self, done: int) -> None:
        """`done` units of the stage are done by now."""

    def ran(self, run: Run, outcome: Outcome) -> None:
        """A run of the stage has ended, now or before the race was taken up again."""

    def note(self, line: str) -> None:
        """Something worth a line."""


class Silence:
    """Looks away."""

    def stage(self, title: str, total: int) -> None:
        """Say nothing."""

    def advance(self, done: int) -> None:
        """Say nothing."""

    def ran(self, run: Run, outcome: Outcome) -> None:
        """Say nothing."""

    def note(self, line: str) -> None:
        """Say nothing."""
