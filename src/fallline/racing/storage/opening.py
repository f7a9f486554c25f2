"""Opening a storage for a race: a new one, or one that was stopped."""

from __future__ import annotations

import warnings
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fallline.racing.storage.attributes import CARD, RESULT, has_attribute, write_attribute
from fallline.racing.storage.card import RaceCard, kept_cards
from fallline.racing.storage.claim import Claim, forget_claim, take_claim
from fallline.racing.storage.database import Database, open_database
from fallline.racing.storage.fingerprint import differences, unknown
from fallline.racing.storage.store import Forgetful, Store
from fallline.racing.storage.study_store import StudyStore
from fallline.racing.storage.tables import tables

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

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
        return Forgetful()
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
    problem = "".join(one if one.isprintable() else "?" for one in card.problem[:_LONGEST_NAME])
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
