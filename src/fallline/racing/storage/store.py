"""A store of runs by their keys, and what a race asks of it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fallline._text import printable
from fallline.racing.runs import Outcome, Run
from fallline.racing.storage.database import Database, open_database
from fallline.racing.storage.outcomes import pack, unpack
from fallline.racing.storage.races import Card
from fallline.racing.storage.schema import tables, upsert

if TYPE_CHECKING:
    from sqlalchemy import Column
    from sqlalchemy.engine import Connection


_AT_ONCE = 500  # keys in one query
_ENCODER = json.JSONEncoder(default=repr)
Keyed = Mapping[int, str]  # keys of runs by their numbers in a stage


class Store:
    """Runs in a database by their keys, the race that asks for them, and facts: plain data, by a scope and a name.

    Every method raises OSError, in a sentence, where the database fails.
    """

    def __init__(self, database: Database, race: int, name: str, card: Card) -> None:
        self.name, self.where = name, database.where
        self._database, self._race, self._card = database, race, card

    def there(self, keys: Sequence[str]) -> set[str]:
        """Those of these keys whose runs are kept."""
        column = tables().runs.c.key
        return {key for (key,) in self._rows(keys, column)}

    def read(self, keys: Sequence[str]) -> dict[str, Outcome]:
        """What the runs of these keys came to, of those that are kept; a damaged one is as if it were not."""
        runs = tables().runs.c
        found: dict[str, Outcome] = {}
        for key, packed in self._rows(keys, runs.key, runs.outcome):
            try:
                found[key] = unpack(packed)
            except (ValueError, TypeError):
                continue
        return found

    def ask(self, stage: str, keys: Keyed) -> None:
        """Note that the race had these runs, by their numbers in a stage."""
        with self._database.transaction() as connection:
            self._ask(connection, stage, keys)

    def add(self, stage: str, keys: Keyed, runs: Mapping[int, Run], outcomes: Mapping[int, Outcome]) -> None:
        """Keep finished runs of a stage, by their numbers: all of them or none."""
        rows = {keys[number]: self._row(keys[number], runs[number], outcome) for number, outcome in outcomes.items()}
        with self._database.transaction() as connection:
            # In one order everywhere, so that no two races wait for each other's rows.
            upsert(connection, tables().runs, [rows[key] for key in sorted(rows)], by=("key",))
            self._ask(connection, stage, {number: keys[number] for number in outcomes})

    def recall(self, scope: str, name: str) -> Any | None:
        """A fact that was kept, or None."""
        from sqlalchemy import select

        facts = tables().facts.c
        with self._database.transaction() as connection:
            query = select(facts.value).where(facts.scope == scope, facts.name == name)
            text = connection.execute(query).scalar()
        with suppress(ValueError, TypeError):
            return json.loads(text or "")
        return None

    def remember(self, scope: str, name: str, value: Any) -> None:
        """Keep a fact, unless another race has kept one meanwhile; one that can't be read gives way."""
        row = {"scope": scope, "name": name, "value": json.dumps(value)}
        if self.recall(scope, name) is None:
            with self._database.transaction() as connection:
                upsert(connection, tables().facts, [row], by=("scope", "name"))

    def answer(self, result: Mapping[str, Any]) -> None:
        """Keep what the race concludes."""
        self._change(result=json.dumps(result))

    def lost(self) -> int:
        """How many runs of the race can't be read back, as the storage is now."""
        from sqlalchemy import select

        asked = tables().asked.c
        self._database.reopen()
        with self._database.transaction() as connection:
            keys = list(connection.execute(select(asked.key).where(asked.race == self._race).distinct()).scalars())
        read = (len(self.read(keys[start : start + _AT_ONCE])) for start in range(0, len(keys), _AT_ONCE))
        return len(keys) - sum(read)

    def close(self) -> None:
        """Let go of the storage."""
        self._database.close()

    def _rows(self, keys: Iterable[str], *columns: Column[Any]) -> Iterator[Any]:
        from sqlalchemy import select

        asked = sorted(set(keys))
        with self._database.transaction() as connection:
            for start in range(0, len(asked), _AT_ONCE):
                some = tables().runs.c.key.in_(asked[start : start + _AT_ONCE])
                yield from connection.execute(select(*columns).where(some))

    def _ask(self, connection: Connection, stage: str, keys: Keyed) -> None:
        rows = [{"race": self._race, "stage": stage, "number": number, "key": key} for number, key in keys.items()]
        upsert(connection, tables().asked, rows, by=("race", "stage", "number"))
        self._change(connection, changed_at=time.time())

    def _change(self, connection: Connection | None = None, **values: Any) -> None:
        races = tables().races
        change = races.update().where(races.c.race == self._race).values(**values)
        if connection is not None:
            connection.execute(change)
            return
        with self._database.transaction() as own:
            own.execute(change)

    def _row(self, key: str, run: Run, outcome: Outcome) -> dict[str, Any]:
        scored = not math.isnan(outcome.score)
        value = outcome.score if scored else float(outcome.valid_metric[-1])
        return {
            "key": key,
            "problem_key": self._card.problem_key,
            "problem": self._card.problem,
            "arm": run.arm,
            "configuration": _ENCODER.encode(dict(run.configuration)),
            "seed": run.seed,
            "steps": run.steps,
            "scored": scored,
            "value": value if math.isfinite(value) and not outcome.diverged else None,
            "kept_at": time.time(),
            "outcome": pack(outcome),
        }


_LONGEST_NAME = 80


def open_store(storage: str | Path, card: Card, *, fresh: bool = False) -> Store:
    """Where a race's runs are kept: an SQLite file, or a PostgreSQL database by URL.

    A race that was asked before has its name from then; a new one is called after its problem and the time. A `fresh`
    one begins with all forgotten that was trained and measured on its problem.

    Raises ValueError for a URL of another kind, ImportError where its driver is not installed, OSError for a storage
    that can't be opened.
    """
    database = open_database(storage)
    try:
        race, name = _asked_before(database, card) or _new(database, card)
        if fresh:
            _forget(database, card)
    except BaseException:
        database.close()
        raise
    return Store(database, race, name, card)


def _forget(database: Database, card: Card) -> None:
    runs, facts = tables().runs, tables().facts
    with database.transaction() as connection:
        connection.execute(runs.delete().where(runs.c.problem_key == card.problem_key))
        connection.execute(facts.delete().where(facts.c.scope.in_([card.problem_key, card.question])))


def _asked_before(database: Database, card: Card) -> tuple[int, str] | None:
    from sqlalchemy import select

    races = tables().races.c
    with database.transaction() as connection:
        found = connection.execute(select(races.race, races.name).where(races.question == card.question)).first()
    return None if found is None else (int(found[0]), str(found[1]))


def _new(database: Database, card: Card, number: int = 1) -> tuple[int, str]:
    """The race with a name that is nobody's; another process may ask the same, or take a name, at this moment."""
    from sqlalchemy import exists, select

    races = tables().races
    started = datetime.now().astimezone()
    title = name = f"{printable(card.problem[:_LONGEST_NAME])} {started:%Y-%m-%d %H:%M:%S}"
    row = {"question": card.question, "card": json.dumps(card.as_fact(started)), "changed_at": started.timestamp()}
    while True:
        with database.transaction() as connection:
            while connection.execute(select(exists().where(races.c.name == name))).scalar():
                number += 1
                name = f"{title} ({number})"
        try:
            with database.transaction() as connection:
                made = connection.execute(races.insert().values(name=name, **row)).inserted_primary_key
                assert made is not None
                return int(made[0]), name
        except OSError:
            if (found := _asked_before(database, card)) is not None:
                return found
            with database.transaction() as connection:
                if not connection.execute(select(exists().where(races.c.name == name))).scalar():
                    raise
