"""The one error of this layer, and the words that say where in the user's code it happened."""

import linecache
import sys
from contextvars import ContextVar
from pathlib import Path

_HERE = str(Path(__file__).parent)

#: The name of the rule that is being traced, for messages.
current_rule: ContextVar[str] = ContextVar("current_rule", default="")


class RuleError(TypeError):
    """A rule that can't be traced: the message names the rule, the line and the remedy."""


def refuse(problem: str, remedy: str) -> RuleError:
    """Make the error for the innermost line of user code that is running now."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HERE):
        frame = frame.f_back
    source = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
    place = f"line {frame.f_lineno}" + (f" (`{source}`)" if source else "")
    name = current_rule.get()
    where = f"rule '{name}', {place}" if name else place
    return RuleError(f"{where}: {problem}; {remedy}")
