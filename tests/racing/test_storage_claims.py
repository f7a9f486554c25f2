"""One process runs a race: others are refused while it lives, and take over when it does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import update

from fallline.racing.runs import Outcome, Run
from fallline.racing.storage import claim as claims
from fallline.racing.storage.database import Database, open_database, read_attribute, tables, write_attribute
from fallline.racing.storage.races import RaceCard, past_races
from fallline.racing.storage.store import Store, open_store

CARD = RaceCard("digits", json.dumps({"seed": "1"}), True, {}, {"effort": {}, "seed": 1}, 10)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "races.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    opened = open_database(path)
    yield opened
    opened.close()


def rewrite(database: Database, **changes: Any) -> None:
    """Change the claim of the only race."""
    with database.alone() as session:
        held = read_attribute(session, 1, "claim")
        assert held is not None
        write_attribute(session, 1, "claim", {**held, **changes})


def held(database: Database) -> Any:
    with database.session() as session:
        return read_attribute(session, 1, "claim")


@pytest.fixture
def processes() -> Iterator[dict[str, int]]:
    """Processes of this host by what they are; the zombie has ended, and nobody has asked after it."""
    ended, zombie = (subprocess.Popen([sys.executable, "-c", ""]) for _ in range(2))
    ended.wait()
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    yield {"own": os.getpid(), "living": os.getppid(), "another user's": 1, "ended": ended.pid, "zombie": zombie.pid}
    zombie.wait()


def add(store: Store) -> None:
    nothing = np.zeros(1)
    outcome = Outcome(np.zeros(1, np.int64), np.zeros(1, np.int64), nothing, nothing, nothing, -1)
    store.add("tuning", {0: Run("sgd", {}, 0, None, 8, 1)}, {0: outcome})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "changes", "refused"),
    [
        ("own", {}, True),
        ("own", {"token": "of an earlier process with this number"}, False),
        ("living", {}, True),
        ("another user's", {}, True),
        ("ended", {}, False),
        ("zombie", {}, False),
        ("living", {"seconds": 0}, False),  # silent too long
        ("ended", {"host": "elsewhere"}, True),
        ("living", {"host": "elsewhere", "seconds": 0}, False),
    ],
)
def test_who_may_take_a_race_up(
    path: Path, database: Database, processes: dict[str, int], kind: str, changes: dict[str, Any], refused: bool
) -> None:
    store = open_store(path, CARD)
    process = processes[kind]
    rewrite(database, process=process, **changes)
    host = held(database)["host"]
    if refused:
        assert past_races(path)[0].running
        with pytest.raises(OSError, match=f"'{store.name}' is being run by process {process} on {host}; wait for it"):
            open_store(path, CARD)
    else:
        assert not past_races(path)[0].running
        again = open_store(path, CARD)
        assert again.resumed
        again.close()
    store.close()


def test_who_lost_a_race_stops(path: Path, database: Database) -> None:
    first = open_store(path, CARD)
    rewrite(database, seconds=0)
    second = open_store(path, CARD)
    sentence = r"was taken over by process \d+ on .*, as this process had been silent"
    with pytest.raises(OSError, match=sentence):
        add(first)
    with pytest.raises(OSError, match=sentence):
        first.remember("plan", 1)
    first.close()  # leaves the other's claim alone
    add(second)
    second.close()
    assert second.outcomes("tuning").keys() == {0}


def test_a_race_that_is_let_go_can_be_taken_up_from_anywhere(path: Path, database: Database) -> None:
    open_store(path, CARD).close()
    assert held(database) is None


def test_every_run_that_is_kept_is_a_beat(path: Path, database: Database) -> None:
    store = open_store(path, CARD)
    rewrite(database, seconds=0)
    add(store)
    assert held(database)["seconds"] > 0
    store.close()


def test_the_heart_beats_while_a_job_is_trained(
    path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "_SECONDS_BETWEEN_BEATS", 0.01)
    store = open_store(path, CARD)
    rewrite(database, seconds=0)
    deadline = 30_000
    while held(database)["seconds"] == 0:
        deadline -= 1
        assert deadline
        time.sleep(0.01)  # the thread's turn
    store.close()


@pytest.mark.parametrize(
    "claim", ["null", "3", '"x"', "{}", '{"token": "x"}', "no JSON", '{"host": 1, "process": "x", "seconds": 0}']
)
def test_what_is_no_claim_holds_nobody_back(path: Path, database: Database, claim: str) -> None:
    open_store(path, CARD).close()
    with database.session() as session:
        attribute = tables().StudyUserAttributeModel
        session.execute(update(attribute).where(attribute.key == "claim").values(value_json=claim))
    assert not past_races(path)[0].running
    again = open_store(path, CARD)
    assert again.resumed
    again.close()


def test_of_many_that_begin_at_once_one_begins(path: Path) -> None:
    def begin(_: int) -> Store | str:
        try:
            return open_store(path, CARD)
        except OSError as error:
            return str(error)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(begin, range(4)))
    (store,) = [one for one in found if not isinstance(one, str)]
    assert sum(f"'{store.name}' is being run by process" in one for one in found if isinstance(one, str)) == 3
    store.close()
