"""A bar on the terminal, with the time that is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Called with how much is done and a word on what is being done.
Tell = Callable[[float, str], object]


@contextmanager
def progress_bar(shown: bool, total: float | None, *, note: str = "") -> Iterator[Tell]:
    """Give a function to call as work goes on; nothing is shown where standard error is no terminal.

    Args:
        shown: Whether to show a bar at all.
        total: How much there is to do; None where nobody knows.
        note: A sentence that stands above the bar, which then shows a share; without one it counts.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    if not shown or not console.is_terminal:
        yield lambda done, word: None
        return
    count = TaskProgressColumn() if note else MofNCompleteColumn()
    if note:
        console.print(note, markup=False, highlight=False)
    columns = (BarColumn(), count, TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda done, word: bar.update(task, completed=done, description=word)
