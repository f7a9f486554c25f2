"""What the terminal shows while a race runs."""

from __future__ import annotations

import os
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


def console() -> Console:
    """Standard output, wide enough for every table where neither a terminal nor COLUMNS says how wide it is."""
    plain = Console()
    return plain if plain.is_terminal or "COLUMNS" in os.environ else Console(width=120)


class Bars:
    """A progress bar for each stage, with the time left; `quiet` shows none, and no notes."""

    def __init__(self, *, quiet: bool) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<14}"), BarColumn(), MofNCompleteColumn(), TextColumn("steps"),
            TimeElapsedColumn(), TimeRemainingColumn(), console=console(), disable=quiet,
        )  # fmt: skip
        self._quiet = quiet
        self._task: TaskID | None = None
        self.stages = 0  # that have begun

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def stage(self, title: str, total: int) -> None:
        """A stage of `total` units begins."""
        self.stages += 1
        self._task = self._progress.add_task(title, total=total)

    def advance(self, done: int) -> None:
        """`done` units of the stage are done by now."""
        if self._task is not None:
            self._progress.update(self._task, completed=done)

    def note(self, line: str) -> None:
        """Something worth a line."""
        if not self._quiet:
            self._progress.console.print(line, highlight=False)
