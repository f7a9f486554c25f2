"""What every command shares: standard output, a line now and then, and how a command ends that can't go on."""

from __future__ import annotations

import linecache
import os
import re
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from fallline._asked import nearest

if TYPE_CHECKING:
    from rich.console import Console

SECONDS_BETWEEN_LINES = 10.0


def console() -> Console:
    """Standard output, wide enough for every table where neither a terminal nor COLUMNS says how wide it is."""
    from rich.console import Console

    plain = Console()
    return plain if plain.is_terminal or "COLUMNS" in os.environ else Console(width=120)


class Beat:
    """Prints a line every so many seconds, for those who look at a pipe or a file, until it is stopped."""

    def __init__(self, line: Callable[[], str], out: Console, seconds: float = SECONDS_BETWEEN_LINES) -> None:
        self._line, self._out, self._seconds = line, out, seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)

    def __enter__(self) -> Beat:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _go_on(self) -> None:
        while not self._stopped.wait(self._seconds):
            self._out.print(self._line(), markup=False, highlight=False)


def fail(
    sentence: str, code: int = 2, error: BaseException | None = None, *, whole: bool = False, beside: str | None = None
) -> NoReturn:
    """Print a sentence and leave. Code 2: what was asked for can't be done; 1: it went wrong on the way.

    With the line of the user's own code that an `error` comes from, if any of it had a part; with the `whole` traceback
    before it. `beside` is the user's file, near which a file may lie that was not found.
    """
    lines = [f"fallline: {sentence}"]
    if error is not None:
        lines += [*_place(error, sentence, whole), *_near(error, beside)]
        if whole:
            traceback.print_exception(error)
    print("\n".join(lines), file=sys.stderr)
    raise typer.Exit(code)


def shown_path(file: str | Path) -> str:
    """A file's path, from the current folder where it lies within it."""
    path = Path(file)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def near_file(file: Path) -> str:
    """A question after the file that was most likely meant, of the same kind in the same folder; else no words."""
    try:
        names = [other.name for other in file.parent.iterdir() if other.suffix == file.suffix and other.is_file()]
    except OSError:
        return ""
    near = nearest(file.name, names)
    return f"did you mean '{file.with_name(near)}'?" if near else ""


def _place(error: BaseException, sentence: str, whole: bool) -> list[str]:
    """The line of the user's code that an error comes from, and how to see more."""
    from fallline.racing.failure import failed_at

    frame = failed_at(error)
    if frame is None:
        return []
    at, source = f"{shown_path(frame.file)}, line {frame.line}", linecache.getline(frame.file, frame.line).strip()
    where = [] if at in sentence else [f"  {at}, in {frame.function}"]
    more = [] if whole else ["--traceback shows the whole way there."]
    return [*where, *([f"    {source}"] if source else []), *more]


def _near(error: BaseException, beside: str | None) -> list[str]:
    """Where relative paths begin, if a file was not found by one; and whether it lies beside the user's file."""
    from fallline.racing.failure import chain

    for one in chain(error):
        if isinstance(one, FileNotFoundError):
            # Not all libraries say which file by the error's own attribute.
            names = [one.filename] if isinstance(one.filename, str) else re.split(r"[\s'\"]+", str(one))
            folder = None if beside is None else Path(beside).resolve().parent
            for name in filter(None, names):
                if folder is not None and not os.path.isabs(name) and (folder / name).exists():
                    return [
                        f"{name} lies beside {shown_path(str(beside))}, but a relative path is looked for in the "
                        f"current folder, {Path.cwd()}; write Path(__file__).parent / {name!r}, or start from {folder}."
                    ]
            if isinstance(one.filename, str) and not os.path.isabs(one.filename):
                return [f"A relative path is looked for in the current folder, {Path.cwd()}."]
    return []
