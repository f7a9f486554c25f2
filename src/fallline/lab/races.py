"""A running race as its storage tells it: read again and again, never written to."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from fallline.lab.requests import RequestError
from fallline.racing.decision import FIRST_SEEDS
from fallline.racing.storage import kept_answer, open_database, past_races, sqlite_file, tables

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from fallline.racing.storage import PastRace

_LISTED = ("name", "problem", "finished", "kept", "planned", "arms", "winner", "lines")


def races(storage: str) -> list[dict[str, Any]]:
    """The races of a storage, the newest first; raises RequestError where it can't be opened."""
    with _told():
        return [
            {**{key: getattr(race, key) for key in _LISTED}, "started": race.started.isoformat(timespec="seconds")}
            for race in past_races(storage)
        ]


@dataclass
class Standing:
    """An arm while the race runs.

    `best` is that of its trials' validation scores. `final` is the mean test score, over the seeds that ended so far,
    of its best trial's configuration; None before the first, and once a seed diverged, since only the race knows what
    that counts as.
    """

    name: str
    runs: int = 0
    diverged: int = 0
    best: float | None = None
    final: float | None = None


class LiveRace:
    """One race of a storage; each `read` takes in the runs that were kept since the last.

    Raises RequestError where there is no such race, and where the storage can't be opened or read.
    """

    def __init__(self, storage: str, name: str) -> None:
        with _told():
            file = sqlite_file(storage)
            if file is not None and not file.exists():
                raise RequestError(404, f"There are no races in {storage} yet.")
            race = next((race for race in past_races(storage) if race.name == name), None)
            if race is None:
                raise RequestError(
                    404, f"There is no race {name!r} in {storage}; /api/races lists those that there are."
                )
            self._database = open_database(storage)
        self._race, self._better = race.number, max if race.higher_is_better else min
        finalists, seeds = race.effort.get("finalists", 1), race.effort.get("seeds", 1)
        first = FIRST_SEEDS if len(race.arms) > 1 and seeds > FIRST_SEEDS else 0
        finals = {"first finals": first, "finals": seeds - first}
        self._best = {stage: _of_the_best(race, finalists, each) for stage, each in finals.items()}
        self._finals: dict[str, list[float]] = {arm: [] for arm in race.arms}
        self._told: dict[str, Any] = {"race": name, "planned": race.planned, "kept": 0, "stage": None}
        self._arms = {arm: Standing(arm) for arm in race.arms}
        self._last = -1

    def read(self) -> dict[str, Any]:
        """How far it is by now, as plain data: the stage of the latest run, the runs kept, each arm's standing."""
        with _told(), self._database.transaction() as connection:
            for place, arm, stage, number, value in _new_runs(connection, self._race, self._last):
                self._last = place
                self._told |= {"stage": stage, "kept": self._told["kept"] + 1}
                self._count(self._arms.setdefault(arm, Standing(arm)), stage, number, value)
            result = kept_answer(connection, self._race)
        lines = [] if result is None else list(result["occasion"].get("lines", ()))
        standings = [asdict(standing) for standing in self._arms.values()]
        return {**self._told, "arms": standings, "finished": result is not None, "lines": lines}

    def close(self) -> None:
        """Let go of the storage."""
        self._database.close()

    def _count(self, standing: Standing, stage: str, number: int, value: float | None) -> None:
        score = value if value is not None and math.isfinite(value) else None
        standing.runs += 1
        standing.diverged += score is None
        if stage not in self._best:
            if score is not None:
                standing.best = score if standing.best is None else self._better(standing.best, score)
            return
        if number in self._best[stage]:
            scores = self._finals.setdefault(standing.name, [])
            scores.append(math.nan if score is None else score)
            mean = sum(scores) / len(scores)
            standing.final = mean if math.isfinite(mean) else None


def _of_the_best(race: PastRace, finalists: int, seeds: int) -> set[int]:
    """The numbers of the finals of each arm's best configuration, which come before those of its second best."""
    counts = [seeds if arm in race.fixed else seeds * finalists for arm in race.arms]
    return {begin + seed for begin in itertools.accumulate([0, *counts[:-1]]) for seed in range(seeds)}


def _new_runs(connection: Connection, race: int, after: int) -> list[tuple[int, str, str, int, float | None]]:
    """Place, arm, stage, number in the stage and value of the runs after one; no value for those that diverged."""
    from sqlalchemy import select

    asked, runs = tables().asked.c, tables().runs.c
    query = (
        select(asked.place, runs.arm, asked.stage, asked.number, runs.value)
        .join_from(tables().asked, tables().runs, asked.key == runs.key)
        .where(asked.race == race, asked.place > after)
        .order_by(asked.place)
    )
    return [tuple(row) for row in connection.execute(query)]


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, ImportError) as error:
        raise RequestError(404, f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
