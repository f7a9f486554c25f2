"""The runs of a storage: listed, forgotten, and given to Optuna, as studies that its dashboard opens."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fallline.racing.storage.database import shown
from fallline.racing.storage.races import PastRace, past_races, read_json, reading
from fallline.racing.storage.schema import tables

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial
    from sqlalchemy import ColumnElement


@dataclass(frozen=True)
class KeptRun:
    """A run in a storage.

    `value` is its score on the test split where that was `scored`, else on the validation split; None where it
    diverged.
    """

    key: str
    problem: str
    arm: str
    configuration: Mapping[str, Any]
    seed: int
    steps: int
    scored: bool
    value: float | None
    seconds_ago: float


def kept_runs(storage: str | Path, problem: str | None = None, arm: str | None = None) -> list[KeptRun]:
    """The runs of a storage, the oldest first, those of one problem or one arm where their names are given.

    Raises what `open_store` does for a storage that can't be opened.
    """
    from sqlalchemy import select

    runs = tables().runs.c
    query = select(runs.key, runs.problem, runs.arm, runs.configuration, runs.seed, runs.steps, runs.scored,
                   runs.value, runs.kept_at)  # fmt: skip
    with reading(storage) as connection:
        if connection is None:
            return []
        rows = connection.execute(query.where(*_some(problem, arm)).order_by(runs.kept_at, runs.key)).all()
    now = time.time()
    return [
        KeptRun(
            key=row.key,
            problem=row.problem,
            arm=row.arm,
            configuration=_configuration(row.configuration),
            seed=row.seed,
            steps=row.steps,
            scored=row.scored,
            value=row.value,
            seconds_ago=max(0.0, now - row.kept_at),
        )
        for row in rows
    ]


def _configuration(text: str | None) -> dict[str, Any]:
    """A run's configuration; nothing where it can't be read."""
    with suppress(ValueError, TypeError):
        found = read_json(text or "")
        if isinstance(found, dict):
            return found
    return {}


def forget_runs(storage: str | Path, problem: str | None = None, arm: str | None = None) -> int:
    """Forget runs, and say how many there were.

    Raises what `open_store` does for a storage that can't be opened.
    """
    with reading(storage) as connection:
        if connection is None:
            return 0
        return int(connection.execute(tables().runs.delete().where(*_some(problem, arm))).rowcount)


def _some(problem: str | None, arm: str | None) -> list[ColumnElement[bool]]:
    runs = tables().runs.c
    asked = ((runs.problem, problem), (runs.arm, arm))
    return [column == value for column, value in asked if value is not None]


def export_to_optuna(storage: str | Path, file: Path, name: str | None = None) -> tuple[int, int]:
    """Write races as studies of Optuna into an SQLite file, a trial a run; give how many races and runs they are.

    Raises LookupError where there is no such race, OSError where the file is there or can't be written, else what
    `open_store` does.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    races = [race for race in past_races(storage) if name in (None, race.name)]
    if not races:
        which = "no race" if name is None else f"no race '{name}'"
        raise LookupError(f"there is {which} in {shown(storage)}; `fallline races` lists those that there are")
    try:
        file.open("x").close()
    except OSError as error:
        why = "is there already" if isinstance(error, FileExistsError) else f"can't be written ({error.strerror})"
        raise type(error)(f"{file} {why}; give --optuna another file") from error
    try:
        _write_studies(storage, races, file)
    except BaseException as error:
        file.unlink()
        if isinstance(error, SQLAlchemyError | optuna.exceptions.OptunaError):
            raise OSError(f"{file} can't be written ({' '.join(str(error).split())})") from error
        raise
    return len(races), sum(race.kept for race in races)


def _write_studies(storage: str | Path, races: list[PastRace], file: Path) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    target = optuna.storages.RDBStorage(f"sqlite:///{file.resolve()}")
    try:
        for race in reversed(races):
            direction = (
                optuna.study.StudyDirection.MAXIMIZE if race.higher_is_better else optuna.study.StudyDirection.MINIMIZE
            )
            study = optuna.create_study(storage=target, study_name=race.name, direction=direction)
            study.add_trials(_trials(storage, race))
    finally:
        target.remove_session()
        target.engine.dispose()


def _trials(storage: str | Path, race: PastRace) -> list[FrozenTrial]:
    import optuna
    from sqlalchemy import select

    asked, runs = tables().asked, tables().runs
    columns = (asked.c.stage, runs.c.key, runs.c.arm, runs.c.configuration, runs.c.seed, runs.c.steps, runs.c.value)
    query = select(*columns).join_from(asked, runs, asked.c.key == runs.c.key).where(asked.c.race == race.number)
    with reading(storage) as connection:
        rows = [] if connection is None else connection.execute(query.order_by(asked.c.place)).all()
    configurations = [_plain(_configuration(row.configuration)) for row in rows]
    spaces = _spaces(configurations)
    state = optuna.trial.TrialState
    return [
        optuna.create_trial(
            state=state.FAIL if row.value is None else state.COMPLETE,
            value=row.value,
            params=configuration,
            distributions={name: spaces[name] for name in configuration},
            user_attrs={"arm": row.arm, "stage": row.stage, "seed": row.seed, "steps": row.steps, "key": row.key},
        )
        for row, configuration in zip(rows, configurations, strict=True)
    ]


def _plain(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as Optuna takes it: numbers, texts, and everything else as text."""
    known = bool | int | float | str | None
    return {name: value if isinstance(value, known) else json.dumps(value) for name, value in configuration.items()}


def _spaces(configurations: Iterable[Mapping[str, Any]]) -> dict[str, BaseDistribution]:
    """One for each name that all of its values stand in: Optuna allows no other for another arm."""
    values: dict[str, list[Any]] = {}
    for configuration in configurations:
        for name, value in configuration.items():
            values.setdefault(name, []).append(value)
    return {name: _space(some) for name, some in values.items()}


def _space(values: list[Any]) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        return CategoricalDistribution(list(dict.fromkeys(values)))
    low, high = min(values), max(values)
    kind = IntDistribution if all(isinstance(value, int) for value in values) else FloatDistribution
    return kind(low, high, log=low > 0)
