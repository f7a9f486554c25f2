"""What textbooks claim of gradient descent, each claim run and judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fallline._lazy import door
from fallline.lessons.lesson import Check, Evidence, Lesson, Verdict, exact, measured, verdict_of

if TYPE_CHECKING:
    from fallline.lessons.registry import LESSONS
    from fallline.lessons.result import Result, run

_find = door(__name__, {"registry": ("LESSONS",), "result": ("Result", "run")})

__all__ = ["LESSONS", "Check", "Evidence", "Lesson", "Result", "Verdict", "exact", "measured", "run", "verdict_of"]


def __getattr__(name: str) -> Any:
    globals()[name] = value = _find(name)
    return value
