"""What draws a finished race: functions by name, imported when first asked for, so that a result knows no drawing."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from fallline._asked import did_you_mean

#: Of each form its function, as "module:name": its first argument is the result or, of pages, the result's plain data.
_ENTRY_POINTS = {
    "text": "fallline.racing.output.table:as_text",
    "html": "fallline.racing.output.table:as_html",
    "json": "fallline.racing.output.data:as_plain",
    "frame": "fallline.racing.output.data:as_frame",
    "tensorboard": "fallline.racing.output.data:write_tensorboard",
    "report": "fallline.pages.report:write_report",
    "figure": "fallline.pages.charts:figure",
}


class Figure(Protocol):
    """A chart that can be written."""

    def write(self, path: str | Path) -> None:
        """Write it; the path's ending, .png, .svg or .pdf, says as what."""


def add_renderer(name: str, entry_point: str) -> None:
    """Let `RaceResult.render` draw a race in one more form, or in an old one by another function.

    Args:
        name: What the form is called.
        entry_point: Where its function is, as "module:function"; it is imported when it is first asked for, and its
            first argument is the `RaceResult`.

    Raises:
        ValueError: The entry point does not name a module and a function.

    >>> add_renderer("html", "fallline.racing.output.table:as_html")  # which it is already
    """
    module, _, function = entry_point.partition(":")
    if not module or not function:
        raise ValueError(f"entry_point must be 'module:function'; got {entry_point!r}")
    _ENTRY_POINTS[name] = entry_point


def renderer(name: str) -> Callable[..., Any]:
    """The function that draws a form. Raises ValueError, in a sentence, where there is none of this name."""
    if name not in _ENTRY_POINTS:
        raise ValueError(f"no form of a race is called '{name}'; {did_you_mean(name, _ENTRY_POINTS)}")
    module, _, function = _ENTRY_POINTS[name].partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found
