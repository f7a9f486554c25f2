"""Reading a user's problem from a Python file."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fallline.training import Problem


def read_problem(path: Path) -> Problem:
    """Run a Python file and return the `problem` it defines.

    Raises ValueError, in a sentence with the line, if the file is missing, fails or defines no Problem.
    """
    from fallline.training import Problem

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
    except Exception as error:
        line = next(
            (f.lineno for f in reversed(traceback.extract_tb(error.__traceback__)) if f.filename == str(source)), "?"
        )
        raise ValueError(f"{path}, line {line}: {type(error).__name__}: {error}") from error
    problem = getattr(module, "problem", None)
    if not isinstance(problem, Problem):
        found = "no `problem`" if problem is None else f"a `problem` that is a {type(problem).__name__}"
        raise ValueError(
            f"{path} defines {found}; write problem = fallline.Problem(model=..., loss=..., train=..., ...)"
        )
    return problem
