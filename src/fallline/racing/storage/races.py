"""The races that a storage was asked, how far they came and what came of them; and the runs that it keeps."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fallline.racing.storage.database import open_database, shown, sqlite_file
from fallline.racing.storage.schema import tables

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


@dataclass(frozen=True)
class Card:
    """A race as it is asked.

    `question` and `problem_key` are what the race and its problem are known by; `spaces` are the dimensions that each
    arm searches, as plain data; from `command`, plain data too, a person or a command line can ask it again.
    """

    problem: str
    problem_key: str
    question: str
    higher_is_better: bool
    spaces: Mapping[str, Mapping[str, Any]]
    command: Mapping[str, Any]
    planned_runs: int

    def as_fact(self, started: datetime) -> dict[str, Any]:
        """As plain data; `started` is when the race began."""
        return {
            "problem": self.problem,
            "problem_key": self.problem_key,
            "started": started.isoformat(timespec="seconds"),
            "higher_is_better": self.higher_is_better,
            "planned_runs": self.planned_runs,
            "spaces": dict(self.spaces),
            "command": dict(self.command),
        }


@dataclass(frozen=True)
class PastRace:
    """A race in a storage: what was asked, how far it came, and its decision if it has finished.

    `number` is its own in the storage. `fixed` are the arms of which nothing is searched. `kept` and `planned` count
    runs; `changed` is when the last of them was kept or read. `winner`, `ranking` (the one to take first) and `lines`
    are the decision's: None or empty where there is no winner or the race has not finished. `command` is that of its
    `Card`.
    """

    number: int
    name: str
    problem: str
    started: datetime
    changed: datetime
    finished: bool
    kept: int
    planned: int
    arms: tuple[str, ...]
    fixed: tuple[str, ...]
    effort: Mapping[str, Any]
    seed: int
    higher_is_better: bool
    winner: str | None
    ranking: tuple[str, ...]
    lines: tuple[str, ...]
    command: Mapping[str, Any]


def past_races(storage: str | Path) -> list[PastRace]:
    """All races of a storage, the newest first; none where an SQLite file is not there or is somebody else's.

    Raises what `open_store` does for a storage that can't be opened.
    """
    from sqlalchemy import func, select

    with reading(storage) as connection:
        if connection is None:
            return []
        races, asked, runs = tables().races.c, tables().asked, tables().runs
        kept = select(asked.c.race, func.count()).join_from(asked, runs, asked.c.key == runs.c.key)
        counts = dict(tuple(row) for row in connection.execute(kept.group_by(asked.c.race)))
        rows = connection.execute(select(tables().races).order_by(races.race.desc())).all()
    found = (_past_race(row._asdict(), int(counts.get(row.race, 0))) for row in rows)
    return [race for race in found if race is not None]


def kept_result(storage: str | Path, name: str | None = None) -> dict[str, Any]:
    """The result of a finished race as plain data, as `RaceResult.to_json` gives it; by default of the latest.

    Raises LookupError, in a sentence, where there is no such race or it has not finished; else what `open_store` does.
    """
    from sqlalchemy import select

    races = tables().races.c
    with reading(storage) as connection:
        found = [] if connection is None else connection.execute(
            select(races.name, races.result).order_by(races.changed_at.desc())
        ).all()  # fmt: skip
    for title, text in found:
        if name in (None, title) and (result := _result(text)) is not None:
            return result
    if name is None:
        raise LookupError(f"no race in {shown(storage)} has finished; `fallline race` runs one")
    if name in [title for title, _ in found]:
        raise LookupError(f"the race '{name}' has not finished; `fallline race` with its options goes on with it")
    raise LookupError(f"there is no race '{name}' in {shown(storage)}; `fallline races` lists those that there are")


def kept_answer(connection: Connection, race: int) -> dict[str, Any] | None:
    """The result of a race by its number; None before it has finished."""
    from sqlalchemy import select

    races = tables().races.c
    return _result(connection.execute(select(races.result).where(races.race == race)).scalar())


@contextmanager
def reading(storage: str | Path) -> Iterator[Connection | None]:
    """A transaction that reads; None where no file holds races, so that none is made and no other one written to."""
    file = sqlite_file(storage)
    if file is not None and not _holds_races(file):
        yield None
        return
    with closing(open_database(storage)) as database, database.transaction() as connection:
        yield connection


def _holds_races(file: Path) -> bool:
    """Whether an SQLite file has our tables, or others; True as well for what can't be read, which opening it tells."""
    if not file.exists():
        return False
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            found = connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except sqlite3.Error:
        return True
    return found is not None


def read_json(text: str) -> Any:
    r"""Plain data of a storage; half a letter, which JSON can hold and no file and no page can, is replaced.

    >>> read_json('["a", "b\\ud800"]')
    ['a', 'b?']
    """
    found = json.loads(text)
    return json.loads(json.dumps(found, ensure_ascii=False).encode(errors="replace")) if r"\ud" in text else found


def _result(text: str | None) -> dict[str, Any] | None:
    """A result as it was kept; None where there is none that can be read."""
    with contextlib.suppress(ValueError, TypeError):
        found = read_json(text or "")
        if isinstance(found, dict) and all(isinstance(found.get(part), dict) for part in ("decision", "occasion")):
            return found
    return None


def _past_race(row: Mapping[str, Any], kept: int) -> PastRace | None:
    """A race of a row; None for what somebody else wrote there."""
    result = _result(row["result"])
    told = {} if result is None else {**result["decision"], **result["occasion"]}
    with contextlib.suppress(ValueError, TypeError, KeyError):
        card = read_json(row["card"])
        return PastRace(
            number=int(row["race"]),
            name=str(row["name"]),
            problem=str(card["problem"]),
            started=datetime.fromisoformat(card["started"]),
            changed=datetime.fromtimestamp(row["changed_at"]).astimezone(),
            finished=result is not None,
            kept=kept,
            planned=int(card["planned_runs"]),
            arms=tuple(card["spaces"]),
            fixed=tuple(name for name, space in card["spaces"].items() if not space),
            effort=dict(card["command"]["effort"]),
            seed=int(card["command"]["seed"]),
            higher_is_better=bool(card["higher_is_better"]),
            winner=told.get("winner"),
            ranking=tuple(told.get("ranking", ())),
            lines=tuple(told.get("lines", ())),
            command=card["command"],
        )
    return None
