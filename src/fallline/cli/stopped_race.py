"""Which stopped race `fallline race --resume` takes up, and what it needs for that."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fallline.cli.console import printable

if TYPE_CHECKING:
    from fallline.problems import Bundled
    from fallline.racing.storage.races import PastRace


def stopped_race(storage: str, where: str, name: str | None, origin: str | None) -> PastRace:
    """A race that was stopped: the one of this name, or the latest of the storage that nobody is running.

    `where` is what the storage is called; if `origin`, a file or a bundled problem, is given, it is the latest on that.
    Raises ValueError, in a sentence, where there is none.
    """
    from fallline.racing.storage.database import sqlite_file
    from fallline.racing.storage.races import past_races

    file, races = sqlite_file(storage), past_races(storage)
    if file is not None and not file.exists():
        raise ValueError(f"no race in {where} was stopped, as there is no such file")
    return _latest(races, where, origin) if name is None else _called(races, where, name)


def _latest(races: Sequence[PastRace], where: str, origin: str | None) -> PastRace:
    stopped = [race for race in races if not race.finished and not race.running]
    if not stopped:
        raise ValueError(f"no race in {where} was stopped; `fallline races` lists those that there are")
    found = next((race for race in stopped if origin in (None, race.command.get("problem"))), None)
    if found is None:
        raise ValueError(
            f"no race on {origin} in {where} was stopped; `fallline races` lists those that there are, and --race "
            "takes one up by its name"
        )
    return found


def _called(races: Sequence[PastRace], where: str, name: str) -> PastRace:
    found = next((race for race in races if race.name == name), None)
    if found is None:
        raise ValueError(f"there is no race '{name}' in {where}; `fallline races` lists those that there are")
    if found.finished:
        raise ValueError(f"the race '{name}' has finished; `fallline report` makes its page")
    return found


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


def options_of(race: PastRace) -> dict[str, Any]:
    """The options of a race. Raises ValueError, in a sentence, where a command line can't give them."""
    from fallline.racing.effort import Effort

    command = race.command
    if command.get("problem") is None or command.get("arms") is None:
        raise ValueError(_of_program(race))
    try:
        options = {name: command[name] for name in ("arms", "search", "seed", "smallest_difference")}
        effort = Effort(**command["effort"])
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"the race '{printable(race.name)}' was begun by another version of Fallline, which has to take it up"
        ) from error
    return {**options, "effort": effort, "rounds": None, "halving": None, "resume": race.name}


def _of_program(race: PastRace) -> str:
    return (
        f"the race '{printable(race.name)}' was started by a program with objects of its own; run that program again, "
        "and its call of fallline.race takes the race up"
    )
