"""Running a lesson: its evidence and verdict, with what was changed, how long it took and which versions ran."""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from fallline._text import listed
from fallline._version import __version__
from fallline.lessons.lesson import Evidence, Lesson, Verdict


@dataclass(frozen=True)
class Result:
    """A lesson that has been run.

    Attributes:
        lesson: The lesson.
        evidence: What its experiment measured.
        changed: The keyword arguments that the experiment was given.
        seconds: How long it took.
        versions: Of Fallline and what it ran on, by name.
    """

    lesson: Lesson
    evidence: Evidence
    changed: Mapping[str, Any]
    seconds: float
    versions: Mapping[str, str]

    @property
    def verdict(self) -> Verdict:
        """What the checks say of the claim."""
        return self.evidence.verdict


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
    return Result(lesson, evidence, changes, time.perf_counter() - begin, versions())


def lesson_of(number: int) -> Lesson:
    """The lesson of a number; raises LookupError where there is none."""
    from fallline.lessons.registry import LESSONS

    for lesson in LESSONS:
        if lesson.number == number:
            return lesson
    raise LookupError(
        f"number must be a lesson's, {listed([str(one.number) for one in LESSONS], 'or')}; got {number!r}."
    )


def versions() -> dict[str, str]:
    """What ran."""
    return {"fallline": __version__, **{name: version(name) for name in ("torch", "numpy", "scipy", "scikit-learn")}}
