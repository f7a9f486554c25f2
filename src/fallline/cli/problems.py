"""The problems of the command line: `fallline problems` lists the bundled ones, a Python file defines one's own."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import typer

from fallline.cli.console import console, fail, near_file, shown_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from fallline.problems import Bundled
    from fallline.racing.arms import Arm
    from fallline.training import Problem


def problems(name: Annotated[str | None, typer.Argument(help="Only this one. Default: all.")] = None) -> None:
    """List the problems that come with the package: real data sets, and functions with known minima."""
    from fallline.problems import ALL, find

    try:
        chosen = list(ALL.values()) if name is None else [find(name)]
    except LookupError as error:
        fail(str(error.args[0]))
    out = console()
    out.print(_table(chosen))
    out.print(
        "\nExamples: to train, to validate, to test. Steps: updates in one run, of so many examples each. At the end: "
        "what is measured, and the value to reach.",
        style="dim",
        highlight=False,
    )


def _table(chosen: list[Bundled]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid("", "", padding=(0, 2, 0, 0))
    table.columns[0].no_wrap = True
    for bundled in chosen:
        table.add_row(Text(bundled.name, style="bold"), Text(bundled.sentence))
        table.add_row("", Text(_facts(bundled.make()), style="dim"))
    return table


def _facts(problem: Problem) -> str:
    """Sizes and metric in a line; a function of the weights alone has no data."""
    weights = sum(parameter.numel() for parameter in problem.build(0).parameters())
    sizes = [f"{len(split):,}" for split in problem.splits().values()]
    data = "no data" if len(problem.train) == 1 else f"{' / '.join(sizes)} examples"
    steps = f"{problem.steps:,} steps" + ("" if problem.batch == 1 else f" of {problem.batch}")
    target = "" if problem.target is None else f" {problem.target:.3g}"
    return f"{data}, {weights:,} weights, {steps}, {problem.metric.name}{target}"


def made(bundled: Bundled) -> Problem:
    """A bundled problem that knows by what name a command line finds it."""
    problem = bundled.make()
    problem.origin = bundled.name
    return problem


def named_problem(name: str) -> tuple[Problem, Sequence[Arm]]:
    """A bundled problem, or that of a file with the arms that it sets.

    Raises ValueError and LookupError, in a sentence, where there is none.
    """
    from fallline.problems import find

    if name.endswith(".py") or os.sep in name or Path(name).exists():
        return read_problem(Path(name))
    try:
        return made(find(name)), ()
    except LookupError:
        if Path(f"{name}.py").is_file():
            fail(f"there is no bundled problem '{name}'; did you mean the file '{name}.py'?")
        raise


_UNNAMED = "problem"  # what a Problem is called that was given no name


def read_problem(path: Path) -> tuple[Problem, tuple[Arm, ...]]:
    """Run a Python file and return the `problem` it defines, called after the file unless it has a name, and its arms.

    Raises ValueError, in a sentence with the file and line, if the file is missing, it or what it imports fails, or it
    defines no Problem, or sets `arms` that are none.
    """
    from fallline.racing.failure import is_sentence
    from fallline.training import Problem, first_line

    if path.is_dir():
        raise ValueError(f"{path} is a folder; give a Python file that sets a variable `problem`")
    if not path.is_file():
        near = near_file(path)
        raise ValueError(f"there is no file {path}{'; ' if near else ''}{near}")
    source = path.resolve()
    spec = importlib.util.spec_from_file_location(path.stem, source)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is no Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    sys.path.insert(0, str(source.parent))
    try:
        spec.loader.exec_module(module)
    except SystemExit as error:
        raise ValueError(
            f"{_place(error, path)}: it called sys.exit({error.code!r}) while it was read; "
            "put what parses arguments or ends the program under `if __name__ == '__main__':`"
        ) from error
    except SyntaxError as error:
        raise ValueError(f"{_place(error, path)}: {error.msg}") from error
    except Exception as error:
        kind = type(error).__name__
        said = str(error) if is_sentence(error) else f"{kind}: {first_line(error).removeprefix(f'{kind}: ')}"
        raise ValueError(f"{_place(error, path)}: {said}") from error
    problem = getattr(module, "problem", None)
    if not isinstance(problem, Problem):
        found = "no `problem`" if problem is None else f"a `problem` of type {type(problem).__name__}"
        raise ValueError(
            f"{path} defines {found}; write problem = fallline.Problem(model=..., loss=..., train=..., ...)"
        )
    if problem.name == _UNNAMED:
        problem.name = path.stem.encode(errors="replace").decode()  # a file's name need not be text
    problem.origin = str(source)
    return problem, _own_arms(module, path)


def _own_arms(module: ModuleType, path: Path) -> tuple[Arm, ...]:
    """Those that the file sets as `arms`, in whatever form a race takes them; none where it sets none."""
    from fallline.racing.arms import found_by_name

    given = getattr(module, "arms", None)
    if given is None:
        return ()
    try:
        return found_by_name(given)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} sets `arms`, which is who races: {error}") from error


def _place(error: BaseException, path: Path) -> str:
    """The user's file, this one or one that it imports, and the line of it that an error comes from."""
    from fallline.racing.failure import failed_at

    frame = failed_at(error)
    return str(path) if frame is None else f"{shown_path(frame.file)}, line {frame.line}"
