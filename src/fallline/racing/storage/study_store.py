"""A race kept as an Optuna study: a trial for each run, facts as the study's attributes."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

from fallline.racing.runs import Outcome, Run
from fallline.racing.storage.attributes import read_attribute, write_attribute
from fallline.racing.storage.claim import Claim, Heartbeat, renew_claim
from fallline.racing.storage.database import Database, told
from fallline.racing.storage.trials import Spaces, Trials, read_runs


class StudyStore:
    """Keeps one race that this process has claimed, as `Store` describes it. Optuna's dashboard opens the same storage.

    Every method raises OSError, in a sentence, where the database fails or another process has taken the race over.
    """

    def __init__(
        self, database: Database, study: int, name: str, claim: Claim, spaces: Spaces, *, resumed: bool
    ) -> None:
        self.name: str | None = name
        self.where: str | None = database.where
        self.resumed = resumed
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
