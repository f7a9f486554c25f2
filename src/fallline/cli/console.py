"""What every command shares: standard output, a race as it runs, and how a command ends that can't go on."""

from __future__ import annotations

import difflib
import linecache
import math
import os
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn

import typer
from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from fallline.racing.wording import rough_duration

if TYPE_CHECKING:
    from fallline.racing.runs import Outcome, Run


SECONDS_BETWEEN_LINES = 10.0


def console() -> Console:
    """Standard output, wide enough for every table where neither a terminal nor COLUMNS says how wide it is."""
    plain = Console()
    return plain if plain.is_terminal or "COLUMNS" in os.environ else Console(width=120)


class Beat:
    """Prints a line every so many seconds, for those who look at a pipe or a file, until it is stopped."""

    def __init__(self, line: Callable[[], str], out: Console, seconds: float = SECONDS_BETWEEN_LINES) -> None:
        self._line, self._out, self._seconds = line, out, seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)

    def __enter__(self) -> Beat:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _go_on(self) -> None:
        while not self._stopped.wait(self._seconds):
            self._out.print(escape(self._line()), highlight=False)


@dataclass
class _Stage:
    """What is done of a stage; `begun` is how much of it was done when it began."""

    title: str
    total: int
    start: float
    done: int = 0
    begun: int | None = None

    def line(self) -> str:
        """The share that is done, and how long the rest will take at the pace so far."""
        if self.done >= self.total:
            return f"{self.title}: done; what follows is being prepared"
        share = f"{self.title}: {self.done / max(1, self.total):.0%} of {self.total:,} steps"
        run = self.done - (self.begun or 0)
        left = (time.monotonic() - self.start) * (self.total - self.done) / run if run > 0 else None
        return share if left is None else f"{share}, {rough_duration(left)} left"


@dataclass
class _Standing:
    """An arm while the race runs."""

    runs: int = 0
    diverged: int = 0
    best: float = math.nan


class LiveRace:
    """A table of the arms, runs done and the best single run so far, over a bar for each stage with the time left.

    `quiet` shows nothing. Where standard output is no terminal there are the notes, and a plain line for each stage and
    every ten seconds.
    """

    def __init__(self, *, quiet: bool, higher_is_better: bool = False, metric: str = "loss") -> None:
        self._out = console()
        self._progress = Progress(
            TextColumn("{task.description:<18}"), BarColumn(), MofNCompleteColumn(), TextColumn("steps"),
            TimeElapsedColumn(), TimeRemainingColumn(), console=self._out,
        )  # fmt: skip
        self._better = max if higher_is_better else min
        self._metric = metric
        self._quiet = quiet
        self._task: TaskID | None = None
        self._arms: dict[str, _Standing] = {}
        self._live = Live(self._progress, console=self._out, refresh_per_second=8, transient=False)
        self._stage: _Stage | None = None
        self._beat = Beat(self._line, self._out, SECONDS_BETWEEN_LINES)

    def __enter__(self) -> LiveRace:
        if not self._quiet and self._out.is_terminal:
            self._live.start()
        elif not self._quiet:
            self._beat.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live.is_started:
            self._live.update(self._progress)  # the table that stays is the result's
            self._live.stop()
        elif not self._quiet:
            self._beat.__exit__()

    def stage(self, title: str, total: int) -> None:
        """A stage of `total` units begins."""
        self._task = self._progress.add_task(title, total=total)
        self._stage = _Stage(title, total, time.monotonic())
        if not self._live.is_started:
            self.note(f"{title}: {total:,} steps")

    def advance(self, done: int) -> None:
        """`done` units of the stage are done by now."""
        if self._task is not None:
            self._progress.update(self._task, completed=done)
        if self._stage is not None:
            self._stage.done = done
            self._stage.begun = done if self._stage.begun is None else self._stage.begun

    def ran(self, run: Run, outcome: Outcome) -> None:
        """A run has ended."""
        arm = self._arms.setdefault(run.arm, _Standing())
        arm.runs += 1
        arm.diverged += outcome.diverged
        found = float(outcome.valid_metric[-1])
        if math.isfinite(found):
            arm.best = found if math.isnan(arm.best) else self._better(arm.best, found)
        if self._live.is_started:
            self._live.update(Group(self._table(), self._progress))

    def note(self, line: str) -> None:
        """Something worth a line."""
        if not self._quiet:
            self._out.print(escape(line), highlight=False)

    def _line(self) -> str:
        return (
            "the race is being prepared: its steps are tried and measured"
            if self._stage is None
            else self._stage.line()
        )

    def _table(self) -> Table:
        table = Table("arm", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for heading in ("runs done", f"validation {self._metric} of the best run so far", "diverged"):
            table.add_column(escape(heading), justify="right")
        for name, arm in self._arms.items():
            best = "" if math.isnan(arm.best) else f"{arm.best:.4g}"
            table.add_row(escape(name), str(arm.runs), best, str(arm.diverged or ""))
        return table


def fail(
    sentence: str, code: int = 2, error: BaseException | None = None, *, whole: bool = False, beside: str | None = None
) -> NoReturn:
    """Print a sentence and leave. Code 2: what was asked for can't be done; 1: it went wrong on the way.

    With the line of the user's own code that an `error` comes from, if any of it had a part; with the `whole` traceback
    before it. `beside` is the user's file, near which a file may lie that was not found.
    """
    lines = [f"fallline: {sentence}"]
    if error is not None:
        lines += [*_place(error, sentence, whole), *_near(error, beside)]
        if whole:
            traceback.print_exception(error)
    print("\n".join(lines), file=sys.stderr)
    raise typer.Exit(code)


def shown_path(file: str | Path) -> str:
    """A file's path, from the current folder where it lies within it."""
    path = Path(file)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def near_file(file: Path) -> str:
    """A question after the file that was most likely meant, of the same kind in the same folder; else no words."""
    try:
        names = [other.name for other in file.parent.iterdir() if other.suffix == file.suffix and other.is_file()]
    except OSError:
        return ""
    near = difflib.get_close_matches(file.name, names, 1)
    return f"did you mean '{file.with_name(near[0])}'?" if near else ""


def _place(error: BaseException, sentence: str, whole: bool) -> list[str]:
    """The line of the user's code that an error comes from, and how to see more."""
    from fallline.racing.failure import failed_at

    frame = failed_at(error)
    if frame is None:
        return []
    at, source = f"{shown_path(frame.file)}, line {frame.line}", linecache.getline(frame.file, frame.line).strip()
    where = [] if at in sentence else [f"  {at}, in {frame.function}"]
    more = [] if whole else ["--traceback shows the whole way there."]
    return [*where, *([f"    {source}"] if source else []), *more]


def _near(error: BaseException, beside: str | None) -> list[str]:
    """Where relative paths begin, if a file was not found by one; and whether it lies beside the user's file."""
    from fallline.racing.failure import chain

    for one in chain(error):
        if isinstance(one, FileNotFoundError):
            # Not all libraries say which file by the error's own attribute.
            names = [one.filename] if isinstance(one.filename, str) else re.split(r"[\s'\"]+", str(one))
            folder = None if beside is None else Path(beside).resolve().parent
            for name in filter(None, names):
                if folder is not None and not os.path.isabs(name) and (folder / name).exists():
                    return [
                        f"{name} lies beside {shown_path(str(beside))}, but a relative path is looked for in the "
                        f"current folder, {Path.cwd()}; write Path(__file__).parent / {name!r}, or start from {folder}."
                    ]
            if isinstance(one.filename, str) and not os.path.isabs(one.filename):
                return [f"A relative path is looked for in the current folder, {Path.cwd()}."]
    return []


def printable(text: str) -> str:
    """The text without control characters, which a terminal would obey.

    >>> printable("digits \\x1b[31m")
    'digits ?[31m'
    """
    return "".join(one if one.isprintable() else "?" for one in text)
