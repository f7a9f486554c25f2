"""Reading a user's problem from a Python file."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fallline.training import Problem


_UNNAMED = "problem"  # what a Problem is called that was given no name


def read_problem(path: Path) -> Problem:
    """Run a Python file and return the `problem` it defines, called after the file unless it has a name.

    Raises ValueError, in a sentence with the line, if the file is missing, fails or defines no Problem.
    """
    from fallline.training import Problem

    if path.is_dir():
        raise ValueError(f"{path} is a folder; give a Python file that sets a variable `problem`")
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    source = path.resolve()
    spec = importlib.util.spec_from_file_location(path.stem, source)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is no Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    sys.path.insert(0, str(source.parent))
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise ValueError(f"{path}, line {error.lineno}: {error.msg}") from error
    except SystemExit as error:
        raise ValueError(
            f"{path}, line {_line(error, source)}: it called sys.exit({error.code!r}) while it was read; "
            "put what parses arguments or ends the program under `if __name__ == '__main__':`"
        ) from error
    except Exception as error:
        raise ValueError(f"{path}, line {_line(error, source)}: {type(error).__name__}: {error}") from error
    problem = getattr(module, "problem", None)
    if not isinstance(problem, Problem):
        found = "no `problem`" if problem is None else f"a `problem` of type {type(problem).__name__}"
        raise ValueError(
            f"{path} defines {found}; write problem = fallline.Problem(model=..., loss=..., train=..., ...)"
        )
    if problem.name == _UNNAMED:
        problem.name = path.stem
    problem.origin = str(source)
    return problem


def _line(error: BaseException, source: Path) -> int | str:
    """The last line of the file that had a part in the error."""
    frames = reversed(traceback.extract_tb(error.__traceback__))
    return next((frame.lineno or "?" for frame in frames if frame.filename == str(source)), "?")
