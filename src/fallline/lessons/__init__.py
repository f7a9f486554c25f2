"""What textbooks claim of gradient descent, each claim run and judged.

`run` runs one; `keep` puts its result where `fallline lessons --page` finds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fallline._lazy import door
from fallline.lessons.lesson import Check, Evidence, Lesson, Verdict, exact, measured, verdict_of

if TYPE_CHECKING:
    from fallline.lessons.kept import keep
    from fallline.lessons.page import lessons_page
    from fallline.lessons.registry import LESSONS
    from fallline.lessons.result import Result, run

_find = door(__name__, {
    "registry": ("LESSONS",),
    "result": ("Result", "run"),
    "kept": ("keep",),
    "page": ("lessons_page",),
})  # fmt: skip

__all__ = [
    "LESSONS", "Check", "Evidence", "Lesson", "Result", "Verdict", "exact", "keep", "lessons_page", "measured", "run",
    "verdict_of",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    globals()[name] = value = _find(name)
    return value
