"""All lessons, from the modules of this folder that end in a list of theirs."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

from fallline.lessons.lesson import Lesson

_ROOM = "fallline.lessons"


def _found() -> tuple[Lesson, ...]:
    names = [one.name for one in pkgutil.iter_modules([str(Path(__file__).parent)]) if one.name != "registry"]
    modules = [importlib.import_module(f"{_ROOM}.{name}") for name in names]
    lessons = [lesson for module in modules for lesson in getattr(module, "LESSONS", ())]
    return tuple(sorted(lessons, key=lambda lesson: lesson.number))


LESSONS = _found()
