"""What the documentation says of lessons, written from the results that come with the package."""

from __future__ import annotations

from collections.abc import Iterator

from fallline.lessons import LESSONS, Check, Lesson, Result
from fallline.lessons.kept import kept
from fallline.lessons.page import lessons_page

#: Where the lessons stand with their pictures, beside the documentation's own pages.
PICTURES = "assets/lessons.html"
_RESULTS = {lesson.number: result for lesson in LESSONS if (result := kept(lesson.number)) is not None}
_SHOWN = 3  # numbers of a lesson, or conditions, in a line


def with_pictures() -> str:
    """The page of all lessons that the package itself writes, as HTML."""
    return lessons_page([(result, "Comes with the package.") for result in _RESULTS.values()])


def claims() -> dict[int, str]:
    """What each lesson claims, by its number."""
    return {lesson.number: lesson.claim for lesson in LESSONS}


def line(number: int) -> str:
    """A lesson as evidence: where it stands, its verdict and its first numbers.

    Args:
        number: The lesson's.
    """
    result = _RESULTS.get(number)
    if result is None:
        return f"Lesson {number} tries this; its result does not come with this version."
    link = f"[Lesson {number}](lessons.md#lesson-{number})"
    verdict = f"This **{result.verdict}** ({'; '.join(_told(result))}).{result.reservation}"
    return f"{link}: *{result.lesson.claim}* {verdict}"


def remark(number: int) -> str:
    """What was seen besides, in a lesson that has been run.

    Args:
        number: The lesson's.
    """
    return _RESULTS[number].evidence.remark if number in _RESULTS else ""


def _told(result: Result) -> list[str]:
    """The first numbers; of several conditions what decided in each of the first."""
    conditions = list(result.conditions.items())[:_SHOWN]
    if len(conditions) == 1:
        return [f"{check.what}: {check.found}" for check in result.evidence.checks[:_SHOWN]]
    deciding = {name: min(own, key=lambda check: (not check.contradicted, check.holds)) for name, own in conditions}
    return [f"{name}: {one.outcome}, {one.what}: {one.found}" for name, one in deciding.items()]


def _place(check: Check) -> str:
    return f"{check.condition}: " if check.condition else ""


def table() -> str:
    """All lessons with their verdicts."""
    rows = [
        f"| {lesson.number} | [{lesson.title}](#lesson-{lesson.number}) | {_verdict(lesson)} |" for lesson in LESSONS
    ]
    return "\n".join(["| | lesson | the claim |", "|---|---|---|", *rows])


def _verdict(lesson: Lesson) -> str:
    result = _RESULTS.get(lesson.number)
    return "not run yet" if result is None else result.verdict


def sections() -> str:
    """Each lesson: claim, numbers, verdict, what to try."""
    return "\n".join(part for lesson in LESSONS for part in _section(lesson))


def _section(lesson: Lesson) -> Iterator[str]:
    result = _RESULTS.get(lesson.number)
    yield f"## {lesson.number}. {lesson.title} {{#lesson-{lesson.number}}}\n"
    yield f"> {lesson.claim} ({lesson.source})\n"
    if result is not None:
        yield f"It **{result.verdict}**. {result.evidence.setting}\n"
        yield "| number | measured, with its 95 % interval | claimed | |"
        yield "|---|---|---|---|"
        for check in result.evidence.checks:
            yield f"| {_place(check)}{check.what} | {check.found} | {check.claimed} | {check.outcome} |"
        yield ""
        if result.evidence.remark:
            yield f"{result.evidence.remark}\n"
        yield f"[Its picture]({PICTURES}#lesson-{lesson.number}). {result.measured}\n"
    yield f"**Try next.** {lesson.try_next} {lesson.call}\n"
