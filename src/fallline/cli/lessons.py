"""`fallline lessons`: textbooks' claims, run and judged, and the page that collects them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fallline.cli.console import fail

if TYPE_CHECKING:
    from fallline.lessons import Lesson, Result

_RESULTS = Path("fallline-lessons")


def lessons(
    numbers: Annotated[
        list[int] | None,
        typer.Argument(metavar="[NUMBER]...", help="Which lessons to run. Default: all, unless a page is asked for."),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write a page that collects all lessons, from the results that are kept and, for the others, those "
            "that come with the package. Without numbers nothing is run for it.",
        ),
    ] = None,
    listing: Annotated[
        bool, typer.Option("--list", help="List the lessons with the verdicts that there are, and run nothing.")
    ] = False,
    results: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Where results are kept, a file for each lesson.")
    ] = _RESULTS,
) -> None:
    """Run what textbooks claim of gradient descent, and print each claim's verdict with its numbers.

    All of them take some minutes; `--list` shows their numbers.
    """
    from fallline.lessons import LESSONS
    from fallline.lessons.result import lesson_of

    try:
        chosen = [lesson_of(number) for number in numbers or ()]
    except LookupError as error:
        fail(f"NUMBER{str(error.args[0]).removeprefix('number')}")
    if listing:
        _list(results)
        return
    if not chosen and page is None:
        chosen = list(LESSONS)
    left_out = 0
    for place, lesson in enumerate(chosen):
        print("\n" * bool(place) + f"{_place(place, chosen)}{lesson.title} ...", flush=True)
        left_out += not _ran(lesson, results)
    if page is not None:
        _write_page(page, results)
    if left_out:
        raise typer.Exit(1)


def _place(place: int, chosen: list[Lesson]) -> str:
    return f"{place + 1} of {len(chosen)}: " if len(chosen) > 1 else ""


def _ran(lesson: Lesson, results: Path) -> bool:
    """Run a lesson and keep its result; False, with a sentence, where a package that it needs is not installed."""
    from fallline.lessons import run
    from fallline.lessons.kept import keep

    try:
        result = run(lesson.number)
    except ImportError as error:
        print(f"fallline: lesson {lesson.number} is left out: {error}", file=sys.stderr)
        return False
    try:
        file = keep(result, results)
    except OSError as error:
        fail(f"the result can't be kept in {results}: {error}", 1)
    print(f"{result}\nKept in {file}.")
    return True


def _list(results: Path) -> None:
    from fallline.lessons import LESSONS

    findings = {result.lesson.number: result.finding for result, _ in _found(results)}
    for lesson in LESSONS:
        print(f"{lesson.number:2}  {lesson.title}: {findings.get(lesson.number, 'not run yet')}")


def _write_page(page: Path, results: Path) -> None:
    from fallline.lessons.page import lessons_page

    try:
        page.write_text(lessons_page(_found(results)), "utf-8")
    except OSError as error:
        fail(f"the page can't be written to {page}: {error}", 1)
    print(f"The page of all lessons: {page}")


def _found(results: Path) -> list[tuple[Result, str]]:
    """Each lesson's own result or the bundled one, and which of the two it is."""
    from fallline.lessons import LESSONS
    from fallline.lessons.kept import kept

    found = []
    for lesson in LESSONS:
        try:
            own = kept(lesson.number, results)
        except ValueError as error:
            fail(str(error))
        bundled = None if own else kept(lesson.number)
        if result := own or bundled:
            found.append((result, "Run here." if own else "Comes with the package."))
    return found
