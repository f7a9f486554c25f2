"""A race on one problem or on several, and what comes of it: on the terminal and in files."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape

from fallline.cli.console import LiveRace, console, fail
from fallline.problems import Bundled
from fallline.racing.output.table import as_table, bullet, further_tables, legend
from fallline.racing.performance_profiles import profiles, profiles_legend, profiles_tables
from fallline.racing.protocol import race
from fallline.racing.result import RaceResult
from fallline.training import Problem, first_line


@dataclass(frozen=True)
class Outputs:
    """Where the result, the page and the curves go; None writes none of it."""

    json: Path | None
    report: Path | None
    tensorboard: Path | None

    def of_problem(self, name: str) -> Outputs:
        """Those of one problem among several, whose result is written with that of the others.

        >>> Outputs(Path("all.json"), Path("race.html"), None).of_problem("digits")
        Outputs(json=None, report=PosixPath('race-digits.html'), tensorboard=None)
        """
        report = None if self.report is None else self.report.with_stem(f"{self.report.stem}-{name}")
        return Outputs(None, report, None if self.tensorboard is None else self.tensorboard / name)

    def check(self) -> None:
        """Leave with a sentence where something can't be written."""
        for option, file in (("--json", self.json), ("--report", self.report)):
            if file is not None:
                _check_file(option, file)
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


def _check_file(option: str, file: Path) -> None:
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


def show_result(result: RaceResult) -> None:
    """The table, the verdict, the warnings, and the best one's code."""
    out = console()
    out.print()
    for table in (as_table(result), *further_tables(result)):
        out.print(table)
        out.print()
    out.print(escape(legend(result)), style="dim", highlight=False)
    out.print()
    out.print(escape(result.verdict.sentence), style="bold", highlight=False)
    for warning in result.verdict.warnings:
        out.print(escape(bullet(warning, out.width)), highlight=False)
    if not result.best.entry.diverged:
        out.print(f"\nThe first of the table, {escape(result.best.name)}, in your own program:\n", highlight=False)
        out.print(escape(result.best.code()), style="cyan", highlight=False, soft_wrap=True)
    kept, seconds = result.occasion["storage"], f"{result.occasion['seconds']:.1f} s in all"
    where = f"Every run is kept in {kept['where']} ({seconds})." if kept else f"{seconds}."
    out.print(f"\n{escape(where)}", highlight=False, soft_wrap=True)


def race_on_one(problem: Problem, asked: Mapping[str, Any], outputs: Outputs, *, quiet: bool) -> None:
    """Race on a problem, print the result and write what is to be written."""
    result = _raced(problem, asked, outputs, quiet)
    show_result(result)
    leave_if_unwritten(outputs.write(result), result)


def _raced(problem: Problem, asked: Mapping[str, Any], outputs: Outputs, quiet: bool) -> RaceResult:
    metric = problem.metric
    with LiveRace(quiet=quiet, higher_is_better=metric.higher_is_better, metric=metric.name) as live:
        return race(problem, watcher=live, slices=outputs.report is not None, **asked)


def race_several(problems: Sequence[Bundled], asked: Mapping[str, Any], outputs: Outputs, *, quiet: bool) -> None:
    """Race on each problem, print each result, and compare the arms by their performance profiles."""
    each = [outputs.of_problem(bundled.name) for bundled in problems]
    for own in each:
        own.check()
    out, results = console(), []
    failed: list[str] = []
    for bundled, own in zip(problems, each, strict=True):
        problem = bundled.make()
        problem.origin = bundled.name
        if not quiet:
            out.rule(escape(bundled.name))
        results.append(_raced(problem, asked, own, quiet))
        if not quiet:
            show_result(results[-1])
        failed += own.write(results[-1])
    compared = profiles(results)
    for table in profiles_tables(compared):
        out.print()
        out.print(table)
    out.print()
    out.print(escape(profiles_legend(compared)), style="dim", highlight=False)
    out.print()
    out.print(escape(compared.sentence), style="bold", highlight=False)
    seconds = sum(result.occasion["seconds"] for result in results)
    out.print(f"\n{seconds:.1f} s in all.", highlight=False)
    whole = {"profiles": compared.to_json(), "races": {r.protocol["problem"]: r.to_json() for r in results}}
    text = json.dumps(whole, indent=1, allow_nan=False) + "\n"
    failed += write_file(
        "--json", outputs.json, lambda file: file.write_text(text, encoding="utf-8"), "All of it is written to {}."
    )
    leave_if_unwritten(failed, results[-1])
