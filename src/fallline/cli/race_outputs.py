"""A race on one problem: watched as it runs, and what comes of it on the terminal and in files."""

from __future__ import annotations

import importlib.util
import math
import re
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from fallline._text import bullet, counted, rough_range, table
from fallline.cli.console import SECONDS_BETWEEN_LINES, Beat, console, fail
from fallline.cli.diagnosed import ShownStages, show_findings
from fallline.racing import Outcome, RaceResult, Run, Watcher, race, race_until
from fallline.racing.failure import attempted
from fallline.racing.output import legend, tables_of, where_kept
from fallline.training import Problem, first_line


def race_on_one(
    problem: Problem, asked: Mapping[str, Any], outputs: Outputs, *, quiet: bool, diagnose: bool = False
) -> None:
    """Race on a problem, diagnose the arm to take if that is asked for, print the result and write what is wanted."""
    result = raced(problem, asked, outputs, quiet)
    if diagnose and not result.best.entry.diverged:
        result = _diagnosed(result, quiet)
    show_result(result)
    leave_if_unwritten(outputs.write(result), result)


def raced(problem: Problem, asked: Mapping[str, Any], outputs: Outputs, quiet: bool) -> RaceResult:
    """Race on a problem, watched unless `quiet`."""
    metric = problem.metric
    with LiveRace(quiet=quiet, higher_is_better=metric.higher_is_better, metric=metric.name) as live:
        try:
            given = {"watcher": live, "slices": outputs.report is not None, **asked}
            seconds = given.pop("until", None)
            return race(problem, **given) if seconds is None else race_until(problem, seconds, **given)
        except KeyboardInterrupt as error:
            raise KeyboardInterrupt(live.stopped()) from error


def _diagnosed(result: RaceResult, quiet: bool) -> RaceResult:
    """The result with all that can be measured of the arm to take; what fails is among its warnings."""
    with nullcontext(None) if quiet else ShownStages(console()) as shown:
        found, failed = attempted("The diagnosis is left out", lambda: result.diagnose(progress=shown or False))
    return result.warned(*failed) if found is None else result.with_diagnosis(found)


def show_result(result: RaceResult) -> None:
    """The decision, the table, the warnings, what was found of the arm to take, and its code."""
    out = console()
    out.print()
    first, *others = result.decision.lines
    out.print(escape(first), style="bold", highlight=False)
    for line in others:
        out.print(escape(line), highlight=False)
    out.print()
    for one in tables_of(result):
        out.print(one)
        out.print()
    out.print(escape(legend(result)), style="dim", highlight=False)
    for warning in result.warnings:
        out.print(escape(bullet(warning, out.width)), highlight=False)
    found = result.diagnosis
    whole = found is not None and found.along is not None  # which is asked for
    if found is not None and (found.findings or whole):
        out.print(f"\nOf the network that {escape(result.best.name)} has trained:\n", highlight=False)
        show_findings(found, out)
        for one in found.tables() if whole else []:
            out.print()
            out.print(one)
    if not result.best.entry.diverged:
        out.print(f"\n{escape(result.best.name)} in your own program:\n", highlight=False)
        out.print(escape(result.best.code()), style="cyan", highlight=False, soft_wrap=True)
    kept, seconds = where_kept(result.occasion), f"{result.occasion['seconds']:.1f} s in all"
    out.print(f"\n{escape(f'{kept} ({seconds})' if kept else seconds)}.", highlight=False, soft_wrap=True)


@dataclass
class _Stage:
    """What is done of a stage, and between which seconds the rest should take."""

    title: str
    total: int
    done: int = 0
    left: tuple[float, float] | None = None

    def line(self) -> str:
        """How much is done, and how long the rest should take."""
        if self.done >= self.total:
            return f"{self.title}: done; what follows is being prepared"
        share = f"{self.title}: {self.done:,} of {self.total:,} steps ({self.done / max(1, self.total):.0%})"
        return share if self.left is None else f"{share}, {rough_range(*self.left)} left"


@dataclass
class _Standing:
    """An arm while the race runs."""

    runs: int = 0
    diverged: int = 0
    best: float = math.nan


class LiveRace(Watcher):
    """A table of the arms, runs done and the best single run so far, over a bar for each stage with the time left.

    `quiet` shows nothing. Where standard output is no terminal there are the notes, and a plain line for each stage and
    every ten seconds.
    """

    def __init__(self, *, quiet: bool, higher_is_better: bool = False, metric: str = "loss") -> None:
        self._out = console()
        self._progress = Progress(
            TextColumn("{task.description:<18}"), BarColumn(), MofNCompleteColumn(), TextColumn("steps"),
            TimeElapsedColumn(), TextColumn("{task.fields[left]}"), console=self._out,
        )  # fmt: skip
        self._better = max if higher_is_better else min
        self._metric = metric
        self._quiet = quiet
        self._task: TaskID | None = None
        self._arms: dict[str, _Standing] = {}
        self._planned = 0
        self._live = Live(self._progress, console=self._out, refresh_per_second=8, transient=False)
        self._stage: _Stage | None = None
        self._beat = Beat(self._line, self._out, SECONDS_BETWEEN_LINES)

    def __enter__(self) -> LiveRace:
        if not self._quiet and self._out.is_terminal:
            self._live.start()
        elif not self._quiet:
            self._beat.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live.is_started:
            self._live.update(self._progress)  # the table that stays is the result's
            self._live.stop()
        elif not self._quiet:
            self._beat.__exit__()

    def planned(self, runs: int) -> None:
        """The race has so many runs."""
        self._planned = runs

    def stage(self, title: str, total: int) -> None:
        """A stage of `total` units begins."""
        self._task = self._progress.add_task(title, total=total, left="")
        self._stage = _Stage(title, total)
        if not self._live.is_started:
            self.note(f"{title}: {total:,} steps")

    def advance(self, done: int) -> None:
        """`done` units of the stage are done by now."""
        if self._task is not None:
            self._progress.update(self._task, completed=done)
        if self._stage is not None:
            self._stage.done = done

    def left(self, low: float, high: float) -> None:
        """The rest of the stage should take between so many seconds."""
        if self._task is not None:
            self._progress.update(self._task, left=f"{rough_range(low, high)} left")
        if self._stage is not None:
            self._stage.left = low, high

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

    def stopped(self) -> str:
        """How many runs there are of a race that was stopped, and how many there would still have to be."""
        ended = sum(arm.runs for arm in self._arms.values())
        if not self._planned:
            return "no run had begun"
        return (
            f"{ended:,} of {counted(self._planned, 'run')} had ended, {self._planned - ended:,} are still to be trained"
        )

    def _line(self) -> str:
        return (
            "the race is being prepared: its steps are tried and measured"
            if self._stage is None
            else self._stage.line()
        )

    def _table(self) -> Table:
        return table(
            {
                "arm": list(self._arms),
                "runs done": [str(arm.runs) for arm in self._arms.values()],
                f"validation {self._metric} of the best run so far": [
                    "" if math.isnan(arm.best) else f"{arm.best:.4g}" for arm in self._arms.values()
                ],
                "diverged": [str(arm.diverged or "") for arm in self._arms.values()],
            }
        )


@dataclass(frozen=True)
class Outputs:
    """Where the result, the page and the curves go; None writes none of it."""

    json: Path | None
    report: Path | None
    tensorboard: Path | None

    def of_problem(self, name: str) -> Outputs:
        """Those of one problem among several, whose result is written with that of the others.

        >>> Outputs(Path("all.json"), Path("race.html"), None).of_problem("digits (5 of 20 epochs)")
        Outputs(json=None, report=PosixPath('race-digits-5-of-20-epochs.html'), tensorboard=None)
        """
        place = re.sub(r"[^\w.]+", "-", name).strip("-.") or "problem"
        report = None if self.report is None else self.report.with_stem(f"{self.report.stem}-{place}")
        return Outputs(None, report, None if self.tensorboard is None else self.tensorboard / place)

    def check(self) -> None:
        """Leave with a sentence where something can't be written."""
        for option, file in (("--json", self.json), ("--report", self.report)):
            if file is not None:
                check_file(option, file)
        if self.tensorboard is not None:
            if self.tensorboard.is_file():
                fail(f"--tensorboard {self.tensorboard}: that is a file; give a folder")
            if importlib.util.find_spec("tensorboard") is None:
                fail("--tensorboard needs TensorBoard: pip install 'fallline[tensorboard]'")

    def write(self, result: RaceResult) -> list[str]:
        """Write all of it and say where it is; the sentences, without their ends, that say what could not be."""
        curves = f"The curves are written to {{}}: tensorboard --logdir {self.tensorboard}"
        return [
            *write_file("--json", self.json, result.write_json, "All of it is written to {}."),
            *write_file("--report", self.report, result.report, "The report is in {}: open it in a browser."),
            *write_file("--tensorboard", self.tensorboard, result.to_tensorboard, curves),
        ]


def write_file(option: str, path: Path | None, write: Callable[[Path], object], told: str) -> list[str]:
    """Write something, if a path is given, and say where it is; or the sentence, without its end, on why it failed."""
    if path is None:
        return []
    try:
        write(path)
    except Exception as error:  # a full disk, or whatever the user's own objects do when they are written down
        said = error.strerror if isinstance(error, OSError) else None
        return [f"{option} {path} can't be written ({said or first_line(error)})"]
    print(told.format(path.resolve()))
    return []


def leave_if_unwritten(failed: list[str], result: RaceResult) -> None:
    """Leave with a sentence where something could not be written, which says where the result is kept."""
    if failed:
        kept = result.occasion["storage"]
        where = "the result is nowhere but above" if kept is None else f"the result is kept in {kept['where']}"
        fail(f"{'; '.join(failed)}; {where}{'' if kept is None else ', and `fallline report` makes its page'}", 1)


def check_file(option: str, file: Path) -> None:
    """Leave with a sentence where a file can't be written; what was not there is not made."""
    if not file.resolve().parent.is_dir():
        fail(f"{option} {file}: there is no folder {file.resolve().parent}")
    if file.is_dir():
        fail(f"{option} {file}: that is a folder; give a file")
    there = file.exists()
    try:
        with file.open("a"):
            pass
        if not there:
            file.unlink()
    except OSError as error:
        fail(f"{option} {file} can't be written ({error.strerror}); give another file")
