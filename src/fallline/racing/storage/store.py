"""A store of runs by their keys, and what a race asks of it; or nothing, where none is to be kept."""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fallline._text import counted, printable
from fallline.racing.runs import Outcome, Run
from fallline.racing.storage.database import Database, open_database, tables, upsert
from fallline.racing.storage.outcomes import pack, unpack
from fallline.racing.storage.races import Card

if TYPE_CHECKING:
    from sqlalchemy import Column
    from sqlalchemy.engine import Connection


#: A storage that failed is left alone for so many times as long as it took to fail: a lock takes a minute.
_PATIENCE = 10
_AT_ONCE = 500  # keys in one query
Keyed = Mapping[int, str]  # keys of runs by their numbers in a stage
Found = TypeVar("Found")


class Store:
    """Keeps runs by their keys, and facts: plain data, by a scope and a name. This one keeps nothing."""

    #: The race's name, and the storage; None where nothing is kept.
    name: str | None = None
    where: str | None = None

    def there(self, keys: Sequence[str]) -> set[str]:
        """Those of these keys whose runs are kept."""
        return set()

    def read(self, keys: Sequence[str]) -> dict[str, Outcome]:
        """What the runs of these keys came to, of those that are kept."""
        return {}

    def ask(self, stage: str, keys: Keyed) -> None:
        """Note that the race had these runs, by their numbers in a stage."""

    def add(
        self, stage: str, keys: Mapping[int, str], runs: Mapping[int, Run], outcomes: Mapping[int, Outcome]
    ) -> None:
        """Keep finished runs of a stage, by their numbers: all of them or, if this process dies, none."""

    def recall(self, scope: str, name: str) -> Any | None:
        """A fact that was kept, or None."""
        return None

    def remember(self, scope: str, name: str, value: Any) -> None:
        """Keep a fact."""

    def answer(self, result: Mapping[str, Any]) -> None:
        """Keep what the race concludes."""

    def lost(self) -> int:
        """How many runs of the race can't be read back, when all is asked for anew."""
        return 0

    def close(self) -> None:
        """Let go of the storage."""


class Lasting(Store):
    """A store for a race that goes on, and ends, where its storage fails: what could not be kept waits in memory.

    It is tried again whenever something more is to be kept, and by `told`. `trouble` is what the storage said last,
    None while all is kept. `tell` gets a sentence when that begins.
    """

    def __init__(self, store: Store, tell: Callable[[str], object]) -> None:
        self.name, self.where = store.name, store.where
        self.trouble: str | None = None
        self._store, self._tell = store, tell
        self._waiting: deque[Callable[[], object]] = deque()
        self._not_before = 0.0

    def there(self, keys: Sequence[str]) -> set[str]:
        """Those of these keys whose runs are kept; none where the storage does not say."""
        return self._asked(lambda: self._store.there(keys), set[str]())

    def read(self, keys: Sequence[str]) -> dict[str, Outcome]:
        """What the runs of these keys came to, of those that are kept; none where the storage does not say."""
        return self._asked(lambda: self._store.read(keys), dict[str, Outcome]())

    def ask(self, stage: str, keys: Keyed) -> None:
        """Note that the race had these runs, now or later."""
        self._later(lambda: self._store.ask(stage, keys))

    def add(
        self, stage: str, keys: Mapping[int, str], runs: Mapping[int, Run], outcomes: Mapping[int, Outcome]
    ) -> None:
        """Keep finished runs of a stage, now or later."""
        self._later(lambda: self._store.add(stage, keys, runs, outcomes))

    def recall(self, scope: str, name: str) -> Any | None:
        """A fact that was kept, or None; None as well where the storage does not say."""
        return self._asked(lambda: self._store.recall(scope, name), None)

    def remember(self, scope: str, name: str, value: Any) -> None:
        """Keep a fact, now or later."""
        self._later(lambda: self._store.remember(scope, name, value))

    def answer(self, result: Mapping[str, Any]) -> None:
        """Keep what the race concludes, now or later."""
        self._later(lambda: self._store.answer(result))

    def told(self) -> tuple[str, ...]:
        """After a last try, a sentence where not all is kept."""
        self._not_before = 0.0
        self._keep()
        if self.trouble is None:
            self._tried(self._check)
        if self.trouble is None:
            return ()
        return (
            f"Not every run of this race is kept: {self.trouble}. The result stands here all the same; "
            "write it to a file to keep it.",
        )

    def close(self) -> None:
        """Let go of the storage."""
        self._tried(self._store.close)

    def _check(self) -> None:
        """Raise OSError where what was kept is not there: a file may have gone since, or have been written to."""
        if lost := self._store.lost():
            raise OSError(f"{counted(lost, 'run')} can't be read back from the storage {self.where}")

    def _asked(self, find: Callable[[], Found], otherwise: Found) -> Found:
        found = [otherwise]
        if time.monotonic() >= self._not_before:
            self._tried(lambda: found.append(find()))
        return found[-1]

    def _later(self, work: Callable[[], object]) -> None:
        self._waiting.append(work)
        self._keep()

    def _keep(self) -> None:
        if time.monotonic() < self._not_before:
            return
        while self._waiting:
            work = self._waiting.popleft()
            if not self._tried(work):
                self._waiting.appendleft(work)
                return
        self.trouble = None

    def _tried(self, work: Callable[[], object]) -> bool:
        begun = time.monotonic()
        try:
            work()
        except OSError as error:
            if self.trouble is None:
                self._tell(f"{str(error)[:1].upper()}{str(error)[1:]}; the race goes on, and its result is shown here.")
            self.trouble = str(error)
            self._not_before = time.monotonic() + _PATIENCE * (time.monotonic() - begun)
            return False
        return True


class KeptStore(Store):
    """Runs in a database, and the race that asks for them.

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
            except ValueError:
                continue
        return found

    def ask(self, stage: str, keys: Keyed) -> None:
        """Note that the race had these runs, by their numbers in a stage."""
        with self._database.transaction() as connection:
            self._ask(connection, stage, keys)

    def add(
        self, stage: str, keys: Mapping[int, str], runs: Mapping[int, Run], outcomes: Mapping[int, Outcome]
    ) -> None:
        """Keep finished runs of a stage, by their numbers: all of them or none."""
        rows = {keys[number]: self._row(keys[number], runs[number], outcome) for number, outcome in outcomes.items()}
        with self._database.transaction() as connection:
            upsert(connection, tables().runs, list(rows.values()), by=("key",))
            self._ask(connection, stage, {number: keys[number] for number in outcomes})

    def recall(self, scope: str, name: str) -> Any | None:
        """A fact that was kept, or None."""
        from sqlalchemy import select

        facts = tables().facts.c
        with self._database.transaction() as connection:
            query = select(facts.value).where(facts.scope == scope, facts.name == name)
            text = connection.execute(query).scalar()
        return None if text is None else json.loads(text)

    def remember(self, scope: str, name: str, value: Any) -> None:
        """Keep a fact."""
        row = {"scope": scope, "name": name, "value": json.dumps(value)}
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
            "configuration": json.dumps(dict(run.configuration), default=repr),
            "seed": run.seed,
            "steps": run.steps,
            "scored": scored,
            "value": value if math.isfinite(value) and not outcome.diverged else None,
            "kept_at": time.time(),
            "outcome": pack(outcome),
        }


_LONGEST_NAME = 80


def open_store(storage: str | Path | None, card: Card, *, fresh: bool = False) -> Store:
    """Where a race's runs are kept: an SQLite file, a PostgreSQL database by URL, or nowhere for None.

    A race that was asked before has its name from then; a new one is called after its problem and the time. A `fresh`
    one begins with all forgotten that was trained and measured on its problem.

    Raises ValueError for a URL of another kind, ImportError where its driver is not installed, OSError for a storage
    that can't be opened.
    """
    if storage is None:
        return Store()
    database = open_database(storage)
    try:
        race, name = _asked_before(database, card) or _new(database, card)
        if fresh:
            _forget(database, card)
    except BaseException:
        database.close()
        raise
    return KeptStore(database, race, name, card)


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
