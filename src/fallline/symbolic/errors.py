"""The one error of this layer, and the words that say where in the user's code it happened."""

from __future__ import annotations

import linecache
import sys
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType

_HERE = str(Path(__file__).parent)

#: A file's name and a line in it.
Place = tuple[str, int]

#: The name of the rule that is being traced, for messages.
current_rule: ContextVar[str] = ContextVar("current_rule", default="")


class RuleError(TypeError):
    """A rule that can't be traced: the message names the rule, the line and the remedy."""


def refuse(problem: str, remedy: str, place: Place | None = None) -> RuleError:
    """Make the error for a place in the user's code: unless told, the innermost line of it that is running now."""
    filename, line = place or _running()
    source = linecache.getline(filename, line).strip()
    at = f"line {line}" + (f" (`{source}`)" if source else "")
    name = current_rule.get()
    where = f"rule '{name}', {at}" if name else at
    return RuleError(f"{where}: {problem}; {remedy}")


def raised_at(traceback: TracebackType | None) -> Place | None:
    """The innermost line that an exception came from."""
    place = None
    while traceback is not None:
        place = (traceback.tb_frame.f_code.co_filename, traceback.tb_lineno)
        traceback = traceback.tb_next
    return place


def _running() -> Place:
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HERE):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno
