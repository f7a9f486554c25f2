"""What the terminal shows while a race runs."""

from __future__ import annotations

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
    """Standard output, wide enough for the table where it is not a terminal."""
    plain = Console()
    return plain if plain.is_terminal else Console(width=120)


class Bars:
    """A progress bar for each stage, with the time left."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<14}"), BarColumn(), MofNCompleteColumn(), TextColumn("steps"),
            TimeElapsedColumn(), TimeRemainingColumn(), console=console(),
        )  # fmt: skip
        self._task: TaskID | None = None

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def stage(self, title: str, total: int) -> None:
        """A stage of `total` units begins."""
        self._task = self._progress.add_task(title, total=total)

    def advance(self, done: int) -> None:
        """`done` units of the stage are done by now."""
        if self._task is not None:
            self._progress.update(self._task, completed=done)

    def note(self, line: str) -> None:
        """Something worth a line."""
        self._progress.console.print(line, highlight=False)
