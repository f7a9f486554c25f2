"""What failed: where in the user's own code, even in another process; and work that may fail, with a sentence then."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

from fallline.racing.storage import is_installed
from fallline.training import first_line

Found = TypeVar("Found")

_OURS = Path(__file__).parents[1]
#: What a traceback that came as text, out of a worker, consists of.
_FRAME = re.compile(r'^\s*File "(?P<file>.+)", line (?P<line>\d+), in (?P<function>\S+)', re.MULTILINE)
_BETWEEN = re.compile(r"^\s*(?:The above exception was the direct cause|During handling of the above)", re.MULTILINE)


class Frame(NamedTuple):
    """A line of a file that was being run, and in which function."""

    file: str
    line: int
    function: str

    @property
    def own(self) -> bool:
        """Whether it is the user's: neither Python's nor an installed package's nor made while a program ran."""
        return not self.file.startswith("<") and not is_installed(self.file)


def failed_at(error: BaseException) -> Frame | None:
    """The innermost line of the user's own code that an error comes from; None where none of it had a part.

    Where the user's code caught one error and raised another, it is the line that raised the other. The frames of
    workers, whose tracebacks come as text, count like all others.

    Args:
        error: What was raised, here or in a worker.

    >>> failed_at(ValueError("never raised")) is None
    True
    """
    found = None
    for frames in (frames for one in chain(error) for frames in _stacks(one)):
        found = next((frame for frame in reversed(frames) if frame.own), found)
        if frames and frames[-1].own:
            break
    return found


def is_sentence(error: BaseException) -> bool:
    """Whether Fallline raised an error itself, so that its text says what to do; if not, it is somebody else's text.

    Args:
        error: What was raised, here or in a worker.
    """
    here, *elsewhere = _stacks(error)
    stack = elsewhere[0] if elsewhere else here
    return not stack or Path(stack[-1].file).is_relative_to(_OURS)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, the one behind it, and so on, as a traceback prints them.

    Args:
        error: The one to begin with; None for no error at all.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _stacks(error: BaseException) -> list[list[Frame]]:
    """The frames of an error, those here before those elsewhere; there with the errors behind it, the first one last.

    A worker's traceback is a note, or what the error says.
    """
    here = [Frame(frame.filename, frame.lineno or 0, frame.name) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename is not None:
        here.append(Frame(error.filename, error.lineno or 0, "<module>"))
    text = "\n".join([*getattr(error, "__notes__", ()), str(error)])
    elsewhere = [
        [Frame(one["file"], int(one["line"]), one["function"]) for one in _FRAME.finditer(part)]
        for part in reversed(_BETWEEN.split(text))
    ]
    return [here, *filter(None, elsewhere)]


def attempted(without: str, work: Callable[[], Found]) -> tuple[Found | None, tuple[str, ...]]:
    """What work gives; where it fails or is interrupted None, and a sentence that begins with what is done `without`.

    It is for what comes after the last run: an interruption then ends this work, not the race, whose runs may be kept
    nowhere else.

    >>> attempted("The cuts are left out", lambda: 1 // 0)
    (None, ('The cuts are left out (ZeroDivisionError: integer division or modulo by zero).',))
    """
    try:
        return work(), ()
    except KeyboardInterrupt:
        reason = "interrupted"
    except (Exception, SystemExit) as error:  # the user's code may do anything
        reason = type(error).__name__
        try:
            said = first_line(error)
            reason = said if isinstance(error, OSError) else reason if said == reason else f"{reason}: {said}"
        except Exception:  # an error that can't say what it is
            pass
    return None, (f"{without} ({reason}).",)
