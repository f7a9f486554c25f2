"""All lessons, from the modules of this folder, each of which ends in a list of its own."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

from fallline.lessons.lesson import Lesson

#: The modules that hold no lessons.
_FRAME = {
    "followed", "kept", "lesson", "page", "pictures", "populations", "registry", "result", "settings", "tuning"
}  # fmt: skip


def _found() -> tuple[Lesson, ...]:
    names = {one.name for one in pkgutil.iter_modules([str(Path(__file__).parent)])} - _FRAME
    modules = [importlib.import_module(f"fallline.lessons.{name}") for name in sorted(names)]
    lessons = [lesson for module in modules for lesson in module.LESSONS]
    return tuple(sorted(lessons, key=lambda lesson: lesson.number))


LESSONS = _found()
