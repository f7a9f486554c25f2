"""A bar on the terminal, with the time that is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

#: Called with how much is done and a word on what is being done.
Tell = Callable[[float, str], object]
#: Called with the steps that are done and how many there are, None where nobody knows.
Steps = Callable[[int, int | None], object]


def followed(progress: bool | Steps, steps: int | None) -> AbstractContextManager[Tell]:
    """A bar if one is wanted, or a user's own function in its place, which is told the steps alone.

    Args:
        progress: Whether to show a bar, or the function.
        steps: How many steps there are; None where nobody knows.
    """
    if not callable(progress):
        return progress_bar(progress, steps)

    def tell(done: float, word: str) -> object:
        return progress(int(done), steps)

    return nullcontext(tell)


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
