"""The races that a storage holds: what it is told of each as it begins, how far they came, and what came of them."""

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

from fallline.racing.arms import Dimension
from fallline.racing.storage.claim import running
from fallline.racing.storage.database import (
    CARD,
    RESULT,
    all_attributes,
    open_database,
    read_attribute,
    shown,
    sqlite_file,
    tables,
)

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


@dataclass(frozen=True)
class RaceCard:
    """A race before its first run.

    `fingerprint` is that of `fallline.racing.storage.fingerprint`; `spaces` are the dimensions that each arm searches,
    by the arms' names; `command` is plain data from which a person, or a command line, can start the race again.
    """

    problem: str
    fingerprint: str
    higher_is_better: bool
    spaces: Mapping[str, Mapping[str, Dimension]]
    command: Mapping[str, Any]
    planned_runs: int

    def as_fact(self, started: datetime) -> dict[str, Any]:
        """As plain data; `started` is when the race began."""
        return {
            "problem": self.problem,
            "fingerprint": self.fingerprint,
            "started": started.isoformat(timespec="seconds"),
            "planned_runs": self.planned_runs,
            "spaces": {
                arm: {name: dimension.to_json() for name, dimension in space.items()}
                for arm, space in self.spaces.items()
            },
            "command": dict(self.command),
        }


def kept_cards(session: Session) -> list[tuple[int, str, dict[str, Any]]]:
    """The races of a storage, the oldest first: study, name, and card as plain data.

    What another version wrote in another form, or somebody else under the same name, is no race and is passed over.
    """
    return [(study, name, card) for study, name, card in all_attributes(session, CARD) if _is_card(card)]


def _is_card(fact: Any) -> bool:
    kinds = {"problem": str, "fingerprint": str, "started": str, "planned_runs": int, "spaces": dict, "command": dict}
    if not isinstance(fact, dict) or any(not isinstance(fact.get(key), kind) for key, kind in kinds.items()):
        return False
    command = fact["command"]
    if not isinstance(command.get("effort"), dict) or not isinstance(command.get("seed"), int):
        return False
    with contextlib.suppress(ValueError):
        datetime.fromisoformat(fact["started"])
        return isinstance(json.loads(fact["fingerprint"]), dict)
    return False


@dataclass(frozen=True)
class PastRace:
    """A race in a storage: what was raced, how far it came, and its verdict if it has finished.

    `running` says that a process is running it. `kept` and `planned` count runs. `winner`, `ranking` (best first)
    and `sentence` are the verdict's: None or empty where there is no winner or the race has not finished. `command` is
    that of its `RaceCard`.
    """

    name: str
    problem: str
    started: datetime
    finished: bool
    running: bool
    kept: int
    planned: int
    arms: tuple[str, ...]
    effort: Mapping[str, Any]
    seed: int
    winner: str | None
    ranking: tuple[str, ...]
    sentence: str | None
    command: Mapping[str, Any]


def past_races(storage: str | Path) -> list[PastRace]:
    """All races of a storage, the newest first; none where an SQLite file is not there or is somebody else's.

    Raises what `open_store` does for a storage that can't be opened.
    """
    with _reading(storage) as session:
        return [] if session is None else [race for _, race in _races(session)]


def kept_result(storage: str | Path, name: str | None = None) -> dict[str, Any]:
    """The result of a finished race as plain data, as `RaceResult.to_json` gives it; by default of the latest.

    Raises LookupError, in a sentence, where there is no such race or it has not finished; else what `open_store` does.
    """
    with _reading(storage) as session:
        races = [] if session is None else _races(session)
        for study, race in races:
            if race.finished and name in (None, race.name):
                assert session is not None
                return dict(read_attribute(session, study, RESULT) or {})
    if name is None:
        raise LookupError(f"no race in {shown(storage)} has finished; `fallline race` runs one")
    if name in [race.name for _, race in races]:
        raise LookupError(f"the race '{name}' has not finished; `fallline race` with its options goes on with it")
    raise LookupError(f"there is no race '{name}' in {shown(storage)}; `fallline races` lists those that there are")


@contextmanager
def _reading(storage: str | Path) -> Iterator[Session | None]:
    """A transaction that reads; None where no file holds races, so that none is made and no other one written to."""
    file = sqlite_file(storage)
    if file is not None and not _holds_races(file):
        yield None
        return
    with closing(open_database(storage)) as database, database.session() as session:
        yield session


def _holds_races(file: Path) -> bool:
    """Whether an SQLite file has Optuna's tables; True as well for what can't be read, which opening it tells."""
    if not file.exists():
        return False
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'studies'").fetchone()
    except sqlite3.Error:
        return True
    return found is not None


def _races(session: Session) -> list[tuple[int, PastRace]]:
    """Study and race, the newest first."""
    counts, ran = _counts(session), running(session)
    results = {study: result for study, _, result in all_attributes(session, RESULT) if _is_result(result)}
    return [
        (study, _past_race(name, card, study in ran, counts.get(study, 0), results.get(study)))
        for study, name, card in reversed(kept_cards(session))
    ]


def _is_result(fact: Any) -> bool:
    return isinstance(fact, dict) and all(isinstance(fact.get(part), dict) for part in ("verdict", "occasion"))


def _counts(session: Session) -> dict[int, int]:
    """The trials of each study."""
    from sqlalchemy import func, select

    trial = tables().TrialModel
    rows = session.execute(select(trial.study_id, func.count()).group_by(trial.study_id))
    return {int(study): int(count) for study, count in rows}


def _past_race(
    name: str, card: Mapping[str, Any], running: bool, kept: int, result: Mapping[str, Any] | None
) -> PastRace:
    command = card["command"]
    verdict = {} if result is None else {**result["verdict"], **result["occasion"]}
    return PastRace(
        name=name,
        problem=card["problem"],
        started=datetime.fromisoformat(card["started"]),
        finished=result is not None,
        running=running,
        kept=kept,
        planned=card["planned_runs"],
        arms=tuple(card["spaces"]),
        effort=command["effort"],
        seed=command["seed"],
        winner=verdict.get("winner"),
        ranking=tuple(verdict.get("ranking", ())),
        sentence=verdict.get("sentence"),
        command=command,
    )
