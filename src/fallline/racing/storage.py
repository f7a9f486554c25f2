"""Where every run is kept: an Optuna study in an SQLite file, written in bulk as a stage ends."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fallline.racing.arms.arm import Arm


@dataclass(frozen=True)
class StoredRun:
    """One finished run: which arm's, "trial" or "final", its configuration, seed, score, and how it went."""

    arm: Arm
    kind: str
    configuration: Mapping[str, float]
    seed: int
    score: float
    curve: Mapping[str, list[float]]


class Storage:
    """An Optuna study for one race. Optuna's dashboard opens the same file.

    Raises OSError in a sentence if the file can't be written.
    """

    def __init__(self, path: Path, study_name: str, higher_is_better: bool) -> None:
        import optuna

        self.path = path
        self.study_name = study_name
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            with path.open("ab"):
                pass
        except OSError as error:
            raise OSError(
                f"the storage {path} can't be written ({error.strerror}); give another file as storage"
            ) from error
        self._study = optuna.create_study(
            storage=_sqlite(path), study_name=study_name, direction="maximize" if higher_is_better else "minimize"
        )

    def add(self, runs: Sequence[StoredRun]) -> None:
        """Store finished runs."""
        self._study.add_trials([_frozen(run) for run in runs])

    def describe(self, facts: Mapping[str, Any]) -> None:
        """Store what is true of the whole race."""
        for name, value in facts.items():
            self._study.set_user_attr(name, value)


def _sqlite(path: Path) -> Any:
    import optuna
    from sqlalchemy import event

    try:
        storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    except Exception as error:  # SQLAlchemy and Alembic raise classes of their own for a file that is not a database
        raise OSError(
            f"the storage {path} is no Optuna database ({type(error).__name__}); give another file"
        ) from error

    def relax(connection: Any, record: object) -> None:
        # Written ahead and synced at checkpoints: as safe when a process is killed, and far fewer waits for the disk.
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    event.listen(storage.engine, "connect", relax)
    return storage


def _frozen(run: StoredRun) -> Any:
    import optuna
    from optuna.distributions import FloatDistribution
    from optuna.trial import TrialState

    sound = math.isfinite(run.score)
    return optuna.create_trial(
        params=dict(run.configuration),
        distributions={name: FloatDistribution(*ends, log=True) for name, ends in run.arm.space.items()},
        value=run.score if sound else None,
        state=TrialState.COMPLETE if sound else TrialState.FAIL,
        user_attrs={
            "arm": run.arm.name,
            "run": {"kind": run.kind, "seed": run.seed, "diverged": not sound, **run.curve},
        },
    )
