"""What keeps a race's runs: nothing, or an Optuna study, which is opened anew or taken up again."""

from __future__ import annotations

import time
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fallline._text import printable
from fallline.racing.runs import Outcome, Run
from fallline.racing.storage.claim import Claim, Heartbeat, TakenOverError, forget_claim, renew_claim, take_claim
from fallline.racing.storage.database import (
    CARD,
    RESULT,
    Database,
    has_attribute,
    open_database,
    read_attribute,
    tables,
    told,
    write_attribute,
)
from fallline.racing.storage.fingerprint import differences, unknown
from fallline.racing.storage.races import RaceCard, kept_cards
from fallline.racing.storage.trials import Spaces, Trials, read_runs

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


#: A storage that failed is left alone for so many times as long as it took to fail: a lock takes a minute.
_PATIENCE = 10


class Store:
    """Keeps one race: its runs' outcomes, each under its stage and number there, and facts by name, as plain data.

    This one keeps nothing.
    """

    #: The race's name, and the storage that holds it; None where nothing is kept.
    name: str | None = None
    where: str | None = None
    #: Whether an earlier process began this race, and how many of its runs were there when it was taken up.
    resumed = False
    kept = 0

    def outcomes(self, stage: str) -> Mapping[int, Outcome]:
        """The runs of a stage that have been kept."""
        return {}

    def add(self, stage: str, runs: Mapping[int, Run], outcomes: Mapping[int, Outcome]) -> None:
        """Keep finished runs of a stage, by their numbers: all of them or, if this process dies, none."""

    def recall(self, fact: str) -> Any | None:
        """A fact that was kept, or None."""
        return None

    def remember(self, fact: str, value: Any) -> None:
        """Keep a fact: plain data, as JSON holds it."""

    def close(self) -> None:
        """Let go of the race, so that any process may take it up."""


class Lasting(Store):
    """A store for a race that goes on, and ends, where its storage fails: what could not be kept waits in memory.

    It is tried again whenever something more is to be kept, and by `told`. `trouble` is what the storage said last,
    None while all is kept. `tell` gets a sentence when that begins.
    """

    def __init__(self, store: Store, tell: Callable[[str], object]) -> None:
        self.name, self.where, self.resumed, self.kept = store.name, store.where, store.resumed, store.kept
        self.trouble: str | None = None
        self._store, self._tell = store, tell
        self._waiting: deque[Callable[[], object]] = deque()
        self._not_before = 0.0

    def outcomes(self, stage: str) -> Mapping[int, Outcome]:
        """The runs of a stage that have been kept."""
        return self._store.outcomes(stage)

    def add(self, stage: str, runs: Mapping[int, Run], outcomes: Mapping[int, Outcome]) -> None:
        """Keep finished runs of a stage, by their numbers, now or later."""
        self._waiting.append(lambda: self._store.add(stage, runs, outcomes))
        self._keep()

    def recall(self, fact: str) -> Any | None:
        """A fact that was kept, or None; None as well where the storage does not say."""
        found: list[Any] = [None]
        self._tried(lambda: found.append(self._store.recall(fact)))
        return found[-1]

    def remember(self, fact: str, value: Any) -> None:
        """Keep a fact, now or later: plain data, as JSON holds it."""
        self._waiting.append(lambda: self._store.remember(fact, value))
        self._keep()

    def told(self) -> tuple[str, ...]:
        """After a last try, a sentence where not all is kept."""
        self._not_before = 0.0
        try:
            self._keep()
            self._tried(lambda: self._store.recall("plan"))  # it may have gone since
        except TakenOverError as error:
            self.trouble = str(error)
        if self.trouble is None:
            return ()
        return (
            f"Not every run of this race is kept: {self.trouble}. The result stands here all the same; "
            "write it to a file to keep it.",
        )

    def close(self) -> None:
        """Let go of the race, so that any process may take it up."""
        self._tried(self._store.close)

    def _keep(self) -> None:
        if time.monotonic() < self._not_before:
            return
        begun = time.monotonic()
        while self._waiting:
            work = self._waiting.popleft()
            if not self._tried(work):
                self._waiting.appendleft(work)
                self._not_before = time.monotonic() + _PATIENCE * (time.monotonic() - begun)
                return
        self.trouble = None

    def _tried(self, work: Callable[[], object]) -> bool:
        try:
            work()
        except TakenOverError:
            raise
        except OSError as error:
            if self.trouble is None:
                self._tell(f"{str(error)[:1].upper()}{str(error)[1:]}; the race goes on, and its result is shown here.")
            self.trouble = str(error)
            return False
        return True


class StudyStore(Store):
    """Keeps one race that this process has claimed. Optuna's dashboard opens the same storage.

    Every method raises OSError, in a sentence, where the database fails or another process has taken the race over.
    """

    def __init__(
        self, database: Database, study: int, name: str, claim: Claim, spaces: Spaces, *, resumed: bool
    ) -> None:
        self.name, self.where, self.resumed = name, database.where, resumed
        self._database, self._study, self._claim = database, study, claim
        self._trials = Trials(study, spaces)
        self._outcomes: dict[str, dict[int, Outcome]] = {}
        if resumed:
            with told(database.where, "failed"):
                self._outcomes = read_runs(database.storage.get_all_trials(study, deepcopy=False))
        self.kept = sum(map(len, self._outcomes.values()))
        self._heartbeat = Heartbeat(database, study, name, claim)
        weakref.finalize(self, self._heartbeat.silence)

    def outcomes(self, stage: str) -> Mapping[int, Outcome]:
        """The runs of a stage that have been kept."""
        return self._outcomes.get(stage, {})

    def add(self, stage: str, runs: Mapping[int, Run], outcomes: Mapping[int, Outcome]) -> None:
        """Keep finished runs of a stage, by their numbers: all of them or none; of two of one number, the first."""
        there = self._outcomes.setdefault(stage, {})
        new = {number: outcome for number, outcome in outcomes.items() if number not in there}
        with self._database.alone() as session:
            renew_claim(session, self._study, str(self.name), self._claim)
            self._trials.add(session, stage, runs, new)
        there.update(new)

    def recall(self, fact: str) -> Any | None:
        """A fact that was kept, or None."""
        with self._database.session() as session:
            return read_attribute(session, self._study, fact)

    def remember(self, fact: str, value: Any) -> None:
        """Keep a fact: plain data, as JSON holds it."""
        with self._database.alone() as session:
            renew_claim(session, self._study, str(self.name), self._claim)
            write_attribute(session, self._study, fact, value)

    def close(self) -> None:
        """Let go of the race, so that any process may take it up."""
        self._heartbeat.stop()
        self._database.close()


_LONGEST_NAME = 80


def open_store(storage: str | Path | None, card: RaceCard, *, name: str | None = None) -> Store:
    """Where a race's runs are kept: an SQLite file, the URL of an Optuna storage, or nowhere for None.

    A race of the card's fingerprint that has not finished is taken up again; else a new one begins, called after its
    problem and the time. With `name`, that race is taken up. Where a race holds what can't be told apart in another
    process, only its name takes it up, as a warning says.

    Raises ValueError where there is no such race or it differs, and for a URL that names no kind of database,
    ImportError where its driver is not installed, OSError for a storage that can't be opened and for a race that is
    being run.
    """
    if storage is None:
        if name is not None:
            raise ValueError(f"the race '{name}' can't be taken up without a storage; say which one holds it")
        return Store()
    database = open_database(storage)
    claim = Claim()
    try:
        with database.alone() as session:
            found = _named(session, database, card, name) if name is not None else _stopped(session, card)
            study, title = found or _new(session, card)
            take_claim(session, study, title, claim)
        return StudyStore(database, study, title, claim, card.spaces, resumed=found is not None)
    except BaseException:
        forget_claim(claim)
        database.close()
        raise


def _stopped(session: Session, card: RaceCard) -> tuple[int, str] | None:
    """The last race of this fingerprint that has not finished."""
    for study, name, kept in reversed(kept_cards(session)):
        if not differences(kept["fingerprint"], card.fingerprint) and not has_attribute(session, study, RESULT):
            doubtful = unknown(card.fingerprint)
            if not doubtful:
                return study, name
            warnings.warn(
                f"a new race begins: '{name}' was stopped, but whether it is the same can't be told, as the problem or "
                f"an arm holds {', '.join(doubtful)}; take it up by its name, with resume='{name}' or "
                f"`fallline race --resume --race '{name}'`"
            )
            break
    return None


def _named(session: Session, database: Database, card: RaceCard, name: str) -> tuple[int, str]:
    races = {title: (study, kept) for study, title, kept in kept_cards(session)}
    if name not in races:
        there = f"it has {', '.join(map(repr, races))}" if races else "it has none"
        raise ValueError(f"there is no race '{name}' in {database.where}; {there}")
    study, kept = races[name]
    different = differences(kept["fingerprint"], card.fingerprint)
    if different:
        told = ", ".join(_told(part, kept, card) for part in different)
        raise ValueError(
            f"the race '{name}' can't be taken up, as it differs in its {told}; start it as it was begun, or leave the "
            "name out to begin a new one"
        )
    return study, name


def _told(part: str, kept: dict[str, Any], card: RaceCard) -> str:
    """What differs, with what is there and what is here where that is short."""
    there, here = kept["command"].get(part), card.command.get(part)
    if part == "arms":
        there, here = ", ".join(kept["spaces"]), ", ".join(card.spaces)
    return part if there == here else f"{part} ({_short(there)} there, {_short(here)} here)"


def _short(value: Any) -> str:
    return ", ".join(f"{key} {one}" for key, one in value.items()) if isinstance(value, dict) else str(value)


def _new(session: Session, card: RaceCard) -> tuple[int, str]:
    from optuna.study import StudyDirection

    models = tables()
    started = datetime.now().astimezone()
    problem = printable(card.problem[:_LONGEST_NAME])
    title = name = f"{problem} {started:%Y-%m-%d %H:%M:%S}"
    number = 1
    while models.StudyModel.find_by_name(name, session) is not None:
        number += 1
        name = f"{title} ({number})"
    direction = StudyDirection.MAXIMIZE if card.higher_is_better else StudyDirection.MINIMIZE
    study = models.StudyModel(
        study_name=name, directions=[models.StudyDirectionModel(objective=0, direction=direction)]
    )
    session.add(study)
    session.flush()
    key = int(study.study_id)
    write_attribute(session, key, CARD, card.as_fact(started))
    return key, name
