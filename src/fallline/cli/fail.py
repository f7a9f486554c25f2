"""How a command ends when it can't go on: a sentence on standard error, and an exit code."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer


def fail(sentence: str, code: int = 2) -> NoReturn:
    """Print a sentence and leave. Code 2: what was asked for can't be done; 1: it went wrong on the way."""
    print(f"fallline: {sentence}", file=sys.stderr)
    raise typer.Exit(code)
