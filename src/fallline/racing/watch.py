"""Who looks on while a race runs: stages with their progress, and lines of text."""

from __future__ import annotations

from typing import Protocol


class Watcher(Protocol):
    """Told of each stage as it begins, of each step forward in it, and of what is worth a line."""

    def stage(self, title: str, total: int) -> None:
        """A stage of `total` units begins."""

    def advance(self, done: int) -> None:
        """`done` units of the stage are done by now."""

    def note(self, line: str) -> None:
        """Something worth a line."""


class Silence:
    """Looks away."""

    def stage(self, title: str, total: int) -> None:
        """Say nothing."""

    def advance(self, done: int) -> None:
        """Say nothing."""

    def note(self, line: str) -> None:
        """Say nothing."""
