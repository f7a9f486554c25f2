"""Running a lesson: its evidence and verdict, with what was changed, how long it took and which versions ran."""

from __future__ import annotations

import inspect
import textwrap
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from fallline._text import duration, listed
from fallline._version import __version__
from fallline.lessons.lesson import Check, Evidence, Lesson, Verdict, outcome_of


@dataclass(frozen=True, repr=False)
class Result:
    """A lesson that has been run; printed, it tells all but the picture.

    Attributes:
        lesson: The lesson.
        evidence: What its experiment measured.
        changed: The keyword arguments that the experiment was given.
        seconds: How long it took.
        versions: Of Fallline and what it ran on, by name.
        when: The time at which it ended, UTC, as ISO 8601 writes it.
    """

    lesson: Lesson
    evidence: Evidence
    changed: Mapping[str, Any]
    seconds: float
    versions: Mapping[str, str]
    when: str

    @property
    def verdict(self) -> Verdict:
        """What the checks say of the claim."""
        return self.evidence.verdict

    @property
    def conditions(self) -> dict[str, list[Check]]:
        """The checks by the condition that they were made under, in order."""
        found: dict[str, list[Check]] = {}
        for check in self.evidence.checks:
            found.setdefault(check.condition, []).append(check)
        return found

    @property
    def reservation(self) -> str:
        """What must be added to a verdict that nothing contradicts and nothing shows."""
        refuted = any(check.contradicted for check in self.evidence.checks)
        return " It was not shown; neither was its opposite." if self.verdict == _NOT and not refuted else ""

    @property
    def measured(self) -> str:
        """When, how long, with what and with which changes it was run."""
        changes = [f"{name} = {value!r}" for name, value in self.changed.items()]
        return (
            f"Measured {self.when[:10]} in {duration(float(f'{self.seconds:.2g}'))} with "
            f"{', '.join(f'{name} {number}' for name, number in self.versions.items())}"
            f"{f'; changed: {listed(changes)}' if changes else ''}."
        )

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        lesson, evidence = self.lesson, self.evidence
        yield f"Lesson {lesson.number}, {lesson.title}: the claim {self.verdict}.{self.reservation}"
        yield ""
        yield from _wrapped(f"{lesson.claim} ({lesson.source})")
        yield from _wrapped(evidence.setting)
        for condition, checks in self.conditions.items():
            yield ""
            if condition:
                yield from _wrapped(f"{condition}: {outcome_of(checks)}")
            for check in checks:
                yield from _wrapped(f"- {check}", "  ")
        yield ""
        for text in (evidence.remark, f"Try next: {lesson.try_next} {lesson.call}", self.measured):
            if text:
                yield from _wrapped(text)


_NOT: Verdict = "does not hold here"


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, 100, subsequent_indent=indent)


def run(number: int, **changes: Any) -> Result:
    """Run a lesson's experiment.

    Args:
        number: The lesson's.
        **changes: What to change of the experiment, by the names of its settings; `seeds` is how many runs each mean
            is over.

    Returns:
        The evidence, and the verdict that it gives.

    Raises:
        LookupError: No lesson has the number.
        TypeError: The experiment has no such setting.
        ValueError: A setting has no sense, in a sentence.

    >>> run(99)
    Traceback (most recent call last):
    LookupError: number must be a lesson's, ...; got 99.
    """
    lesson = lesson_of(number)
    settings = list(inspect.signature(lesson.experiment).parameters)
    for name in changes:
        if name not in settings:
            raise TypeError(f"lesson {number} has no setting {name!r}; its settings are {listed(settings)}.")
    begin = time.perf_counter()
    evidence = lesson.experiment(**changes)
    seconds = time.perf_counter() - begin
    return Result(lesson, evidence, changes, seconds, versions(), datetime.now(UTC).isoformat(timespec="seconds"))


def lesson_of(number: int) -> Lesson:
    """The lesson of a number; raises LookupError where there is none."""
    from fallline.lessons.registry import LESSONS

    for lesson in LESSONS:
        if lesson.number == number:
            return lesson
    known = listed([str(one.number) for one in LESSONS], "or")
    raise LookupError(f"number must be a lesson's, {known}; got {number!r}.")


def versions() -> dict[str, str]:
    """What ran."""
    return {"fallline": __version__, **{name: version(name) for name in ("torch", "numpy")}}
