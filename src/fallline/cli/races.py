"""The races of a storage: listed, one made a page of, and an unfinished one asked again with its own options."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fallline._text import printable, rough_duration, table
from fallline.cli.console import console, fail, near_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rich.table import Table

    from fallline.problems import Bundled
    from fallline.racing import Arm
    from fallline.racing.storage import PastRace


_DEFAULT = "fallline-runs.db"
#: The storage of a command that reads one: an argument, or the option that `fallline race` has.
Given = Annotated[
    str | None,
    typer.Argument(
        metavar="STORAGE",
        help=f"SQLite file, or URL of a PostgreSQL database, that keeps the runs. Default: {_DEFAULT}.",
    ),
]
Named = Annotated[str | None, typer.Option("--storage", help="The same, as an option.")]


def storage_of(given: str | None, named: str | None) -> str:
    """The storage that was given either way. Leaves with a sentence where it is no file that there is."""
    from fallline.racing.storage import sqlite_file

    if given is not None and named is not None:
        fail("the storage is given twice; give it once")
    storage = given or named or _DEFAULT
    try:
        file = sqlite_file(storage)
    except ValueError as error:
        fail(str(error))
    if file is not None and not file.exists():
        fail(f"there is no file {file}; {near_file(file) or '`fallline race` makes one, where --storage says'}")
    return storage


def races(given: Given = None, named: Named = None) -> None:
    """List the races that a storage was asked, newest first, with how far they came and what came of them."""
    from fallline.racing.storage import past_races, shown

    # Where nobody named one, a folder without a storage is one where nothing was raced.
    storage = _DEFAULT if given is None and named is None else storage_of(given, named)
    try:
        found = past_races(storage)
    except (ValueError, OSError, ImportError) as error:
        fail(str(error))
    if found:
        console().print(_table(found))
    else:
        print(f"There are no races in {shown(storage)}; `fallline race` runs one and keeps it there.")


def _table(found: list[PastRace]) -> Table:
    """Their names and problems were written by anybody, so that no control character of theirs is printed."""
    cells: dict[str, Callable[[PastRace], str]] = {
        "race": lambda race: race.name,
        "problem": lambda race: race.problem,
        "arms": lambda race: ", ".join(race.arms),
        "effort": lambda race: _effort(race.effort),
        "runs": _runs,
        "outcome": _outcome,
    }
    columns = {heading: [printable(cell(race)) for race in found] for heading, cell in cells.items()}
    return table(columns, left=set(cells) - {"runs"})


def _effort(effort: Mapping[str, Any]) -> str:
    """An effort's name, or what it counts."""
    from fallline.racing import EFFORTS

    named = next((name for name, one in EFFORTS.items() if asdict(one) == effort), None)
    trials, finalists, seeds = (effort.get(name, "?") for name in ("trials", "finalists", "seeds"))
    return named or f"{trials} trials, {finalists} x {seeds} finals"


def _runs(race: PastRace) -> str:
    return f"{race.kept:,}" if race.finished else f"{race.kept:,} of {race.planned:,}"


def _outcome(race: PastRace) -> str:
    if not race.finished and not race.kept:
        return "unfinished, no run is kept"
    if not race.finished:
        ago = rough_duration((datetime.now().astimezone() - race.changed).total_seconds())
        return f"unfinished, last run {ago} ago; the same command goes on"
    if race.winner is not None:
        return f"{race.winner} wins"
    return f"take {race.ranking[0]}" if race.ranking else "finished"


def report(
    given: Given = None,
    named: Named = None,
    race: Annotated[
        str | None, typer.Option(help="Which race, as `fallline races` names it. Default: the last one.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Write the page to this file.")] = Path("race.html"),
) -> None:
    """Write the report of a finished race: one page that needs no network."""
    from fallline.pages.report import write_report
    from fallline.racing.storage import kept_result

    storage = storage_of(given, named)
    try:
        write_report(kept_result(storage, race), output)
    except LookupError as error:
        fail(str(error.args[0]))
    except (ValueError, OSError, ImportError) as error:
        fail(str(error))
    print(f"The report is written to {output.resolve()}.")


def unfinished_race(storage: str, name: str | None, origin: str | None) -> PastRace:
    """The race of this name, or the latest, that has not finished; on the problem of this origin, if it is given.

    Raises ValueError, in a sentence, where there is none.
    """
    from fallline.racing.storage import past_races, shown

    for race in past_races(storage):
        if not race.finished and name in (None, race.name) and origin in (None, race.command.get("problem")):
            return race
    named, on = "" if name is None else f" '{name}'", "" if origin is None else f" on {origin}"
    raise ValueError(
        f"no race{named}{on} in {shown(storage)} is unfinished; `fallline races` lists those that there are"
    )


def bundled_problem(race: PastRace, *, by_name: bool) -> Bundled:
    """The bundled problem of a race, which was found `by_name` or as the latest.

    Raises ValueError, in a sentence, where it is none: the storage may have been written by anybody, so no file is run
    because it names one.
    """
    from fallline.problems import ALL

    problem = race.command.get("problem")
    if problem in ALL:
        return ALL[problem]
    if problem is None:
        raise ValueError(_of_program(race))
    asked = ["fallline", "race", str(problem), "--resume", *(("--race", race.name) if by_name else ())]
    raise ValueError(
        f"the race '{printable(race.name)}' is on the problem of a file, and no file is run because a storage names "
        f"it; give the file: {printable(shlex.join(asked))}"
    )


def options_of(race: PastRace, own: Sequence[Arm] = ()) -> dict[str, Any]:
    """The options of a race; `own` are the arms of its problem's file, which it calls by their names.

    Raises ValueError, in a sentence, where a command line can't give them.
    """
    from fallline.cli.entrants import found
    from fallline.racing import Effort

    command = race.command
    if command.get("arms") is None:
        raise ValueError(_of_program(race))
    try:
        settled = ("search", "schedule", "warm_up", "seed", "margin", "training")
        options = {name: command[name] for name in settled}
        names = [command["arms"]] if isinstance(command["arms"], str) else command["arms"]
        return {**options, "arms": found(names, own), "effort": Effort(**command["effort"])}
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"the options of the race '{printable(race.name)}' can't be read; give them by `fallline race` itself"
        ) from error


def _of_program(race: PastRace) -> str:
    return (
        f"the race '{printable(race.name)}' was begun by a program with objects of its own; run that program again, "
        "and its call of fallline.race goes on"
    )
