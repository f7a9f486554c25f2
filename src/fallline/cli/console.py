"""What the terminal shows while a race runs."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from fallline.racing.runs import Outcome, Run


def console() -> Console:
    """Standard output, wide enough for every table where neither a terminal nor COLUMNS says how wide it is."""
    plain = Console()
    return plain if plain.is_terminal or "COLUMNS" in os.environ else Console(width=120)


@dataclass
class _Standing:
    """An arm while the race runs."""

    runs: int = 0
    diverged: int = 0
    best: float = math.nan


class LiveRace:
    """A table of the arms, runs done and the best single run so far, over a bar for each stage with the time left.

    `quiet` shows nothing. Where standard output is no terminal there are the notes alone.
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

    def __enter__(self) -> LiveRace:
        if not self._quiet and self._out.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live.is_started:
            self._live.update(self._progress)  # the table that stays is the result's
            self._live.stop()

    def stage(self, title: str, total: int) -> None:
        """A stage of `total` units begins."""
        self._task = self._progress.add_task(title, total=total)

    def advance(self, done: int) -> None:
        """`done` units of the stage are done by now."""
        if self._task is not None:
            self._progress.update(self._task, completed=done)

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

    def _table(self) -> Table:
        table = Table("arm", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for heading in ("runs done", f"validation {self._metric} of the best run so far", "diverged"):
            table.add_column(escape(heading), justify="right")
        for name, arm in self._arms.items():
            best = "" if math.isnan(arm.best) else f"{arm.best:.4g}"
            table.add_row(escape(name), str(arm.runs), best, str(arm.diverged or ""))
        return table
