"""For the pages of the API: docstrings as Python has them once a module runs, and their examples as blocks of code."""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any

import griffe

#: Lines from a prompt to the next empty line.
_EXAMPLE = re.compile(r"^( *)(>>> .*(?:\n(?! *$).*)*)", re.MULTILINE)
#: Where docstrings are completed as classes are made.
_MADE = "fallline.optim"


class Docstrings(griffe.Extension):  # type: ignore[misc]
    """Reads what is only said at run time, and puts fences around examples."""

    def on_object(self, *, obj: Any, **others: Any) -> None:
        """Rewrite the docstring of anything that has one.

        Args:
            obj: A module, class, function or attribute.
            others: What the extension has no use for.
        """
        if obj.path.startswith(f"{_MADE}.") and (text := _at_run_time(obj.path)):
            obj.docstring = griffe.Docstring(text, parent=obj, parser="google", parser_options={"warnings": False})
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)


def _at_run_time(path: str) -> str | None:
    """The docstring of a public class or a method of one; None for anything else."""
    place, *names = path.removeprefix(f"{_MADE}.").split(".")
    found: Any = importlib.import_module(_MADE)
    if not hasattr(found, place) or path.rpartition(".")[2].startswith("_"):
        return None
    for name in (place, *names):
        found = getattr(found, name, None)
    return inspect.getdoc(found) if inspect.isclass(found) or inspect.isfunction(found) else None


def fenced(text: str) -> str:
    """A docstring whose examples stand between fences.

    Args:
        text: The docstring.
    """
    return _EXAMPLE.sub(lambda found: f"{found[1]}```pycon\n{found[0]}\n{found[1]}```", text)
