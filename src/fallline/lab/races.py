"""A running race as its storage tells it: read again and again, never written to."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from fallline.lab.requests import RequestError
from fallline.racing.storage import CARD, RESULT, all_attributes, open_database, past_races, read_attribute, sqlite_file

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_FINALS = "finals"
_LISTED = ("name", "problem", "finished", "kept", "planned", "arms", "winner", "sentence")


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
    of its best configuration by validation, which the verdict will rank; None before the first, and once a seed
    diverged, since only the race knows what that counts as.
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
            self._database = open_database(storage)
            with self._database.session() as session:
                found = {title: (study, card) for study, title, card in all_attributes(session, CARD)}
                if name in found:
                    self._study, card = found[name]
                    self._better = max if _rises(session, self._study) else min
        if name not in found:
            self.close()
            raise RequestError(404, f"There is no race {name!r} in {storage}; /api/races lists those that there are.")
        effort = card["command"]["effort"]
        self._finalists, self._seeds = effort.get("finalists", 1), effort.get("seeds", 1)
        self._finals: dict[str, list[float]] = {arm: [] for arm in card["spaces"]}
        self._told: dict[str, Any] = {"race": name, "planned": card["planned_runs"], "kept": 0, "stage": None}
        self._arms = {arm: Standing(arm) for arm in card["spaces"]}
        self._last = -1

    def read(self) -> dict[str, Any]:
        """How far it is by now, as plain data: the stage of the latest run, the runs kept, each arm's standing."""
        with _told(), self._database.session() as session:
            for trial, arm, stage, number, value in _new_runs(session, self._study, self._last):
                self._last = trial
                self._told |= {"stage": stage, "kept": self._told["kept"] + 1}
                self._count(self._arms.setdefault(arm, Standing(arm)), stage, number, value)
            result = read_attribute(session, self._study, RESULT)
        sentence = None if result is None else result["occasion"]["sentence"]
        standings = [asdict(standing) for standing in self._arms.values()]
        return {**self._told, "arms": standings, "finished": result is not None, "sentence": sentence}

    def close(self) -> None:
        """Let go of the storage."""
        self._database.close()

    def _count(self, standing: Standing, stage: str, number: int, value: float | None) -> None:
        score = value if value is not None and math.isfinite(value) else None
        standing.runs += 1
        standing.diverged += score is None
        if stage != _FINALS:
            if score is not None:
                standing.best = score if standing.best is None else self._better(standing.best, score)
            return
        # The finals of an arm are those of its best configuration on every seed, then of its second best, and so on.
        if number % (self._finalists * self._seeds) < self._seeds:
            scores = self._finals.setdefault(standing.name, [])
            scores.append(math.nan if score is None else score)
            mean = sum(scores) / len(scores)
            standing.final = mean if math.isfinite(mean) else None


def _rises(session: Session, study: int) -> bool:
    """Whether the higher score of a study is the better one."""
    from optuna.storages._rdb.models import StudyDirectionModel
    from optuna.study import StudyDirection
    from sqlalchemy import select

    query = select(StudyDirectionModel.direction).where(StudyDirectionModel.study_id == study)
    return bool(session.scalars(query).one() == StudyDirection.MAXIMIZE)


def _new_runs(session: Session, study: int, after: int) -> Iterator[tuple[int, str, str, int, float | None]]:
    """Trial, arm, stage, number in the stage and value of the runs after one; no value for those that diverged."""
    from optuna.storages._rdb.models import TrialModel, TrialUserAttributeModel, TrialValueModel
    from sqlalchemy import and_, select
    from sqlalchemy.orm import aliased

    arm, stage, number = (aliased(TrialUserAttributeModel) for _ in range(3))
    trial = TrialModel.trial_id
    query = (
        select(trial, arm.value_json, stage.value_json, number.value_json, TrialValueModel.value)
        .join(arm, and_(arm.trial_id == trial, arm.key == "arm"))
        .join(stage, and_(stage.trial_id == trial, stage.key == "stage"))
        .join(number, and_(number.trial_id == trial, number.key == "number"))
        .outerjoin(TrialValueModel, TrialValueModel.trial_id == trial)
        .where(TrialModel.study_id == study, trial > after)
        .order_by(trial)
    )
    for found, name, where, place, value in session.execute(query):
        yield found, str(json.loads(name)), str(json.loads(where)), int(json.loads(place)), value


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, ImportError) as error:
        raise RequestError(404, f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
