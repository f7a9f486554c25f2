"""Runs from elsewhere, one a row, as arms: CSV files, frames, exports of Weights & Biases and MLflow."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from fallline._text import counted, listed
from fallline.racing.decision.records import Entrant, Floats

_PREFIXES = ("", "params.", "metrics.", "config.", "summary.", "tags.")
_STATES = {"finished", "failed", "crashed", "killed", "running", "scheduled"}
EVEN = 2.1
"""Points are evenly drawn where no gap is this many times the mean gap; one point of each stretch makes up to two."""


class Frame(Protocol):
    """What is asked of a frame of pandas or polars."""

    @property
    def columns(self) -> Any:
        """The names of the columns."""

    def __getitem__(self, name: Any) -> Any:
        """One column."""


Table = str | Path | Mapping[str, Sequence[Any]] | Frame


@dataclass(frozen=True)
class Columns:
    """Which column holds what."""

    arm: str
    configuration: Sequence[str]
    seed: str
    validation: str
    test: str


@dataclass(frozen=True)
class _Row:
    arm: str
    configuration: tuple[Any, ...]
    seed: Any
    validation: float | None  # None where missing, NaN where the run diverged
    test: float | None


def entrants(table: Table, columns: Columns) -> tuple[list[Entrant], list[str]]:
    """Arms from a table of runs, and notes on what was left out.

    Runs with a test score are finals. The seeds judged are those on which every arm has finals; a configuration is a
    finalist if it ran on all of them. Its other runs, and configurations without test scores, are trials.
    """
    rows, notes = _rows(table, columns)
    arms: dict[str, dict[tuple[Any, ...], list[_Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        arms[row.arm][row.configuration].append(row)
    most = {name: _largest(found) for name, found in arms.items()}
    if untested := [name for name, seeds in most.items() if not seeds]:
        raise ValueError(f"{listed(untested)} must have at least one run with a score in column {columns.test!r}.")
    shared = [seed for seed in next(iter(most.values())) if all(seed in seeds for seeds in most.values())]
    if not shared:
        raise ValueError(
            f"The arms must have run on the same seeds, to be compared in pairs; no seed in column {columns.seed!r} "
            f"has a test score of each of {listed(list(arms))}."
        )
    if left := {seed for seeds in most.values() for seed in seeds} - set(shared):
        notes.append(f"{counted(len(left), 'seed')} on which not every arm has test scores left out.")
    made = [_entrant(name, found, shared, columns) for name, found in arms.items()]
    for one, found in zip(made, arms.values(), strict=True):
        tested = sum(any(row.test is not None for row in rows) for rows in found.values())
        if short := tested - len(one.finals):
            notes.append(f"{counted(short, 'configuration')} of {one.name} without test scores on all seeds left out.")
    return made, notes


def _rows(table: Table, columns: Columns) -> tuple[list[_Row], list[str]]:
    values = _read(table)
    wanted = [columns.arm, *columns.configuration, columns.seed, columns.validation, columns.test]
    found = [values[_resolved(name, values)] for name in wanted]
    states = next((values[name] for name in values if name.lower() in ("state", "status")), None)
    rows, unfinished, untested, seen = [], 0, 0, set()
    for place, (arm, *configuration, seed, validation, test) in enumerate(zip(*found, strict=True)):
        state = str(states[place]).lower() if states is not None else "finished"
        if state in _STATES - {"finished"}:
            unfinished += 1
            continue
        if _missing(arm) or _missing(seed):
            raise ValueError(f"Row {place + 1} must name its arm and its seed; they are {arm!r} and {seed!r}.")
        row = _Row(
            str(arm), tuple(None if _missing(one) else _value(one) for one in configuration), _value(seed),
            _score(validation, columns.validation, place), _score(test, columns.test, place),
        )  # fmt: skip
        if row.validation is None and row.test is None:
            untested += 1
            continue
        key = row.arm, row.configuration, row.seed, row.test is None
        if key in seen:
            raise ValueError(
                f"Arm {row.arm!r} with {_told(row.configuration, columns)} ran twice on seed {row.seed!r}: keep one of "
                f"the runs (row {place + 1}), or name the columns in which they differ in configuration=[...]."
            )
        seen.add(key)
        rows.append(row)
    if not rows:
        raise ValueError("The table must hold at least one finished run with a score.")
    notes = [f"{counted(unfinished, 'run')} that did not finish left out."] if unfinished else []
    notes += (
        [f"{counted(untested, 'run')} without any score left out; write inf where a run diverged."] if untested else []
    )
    return rows, notes


def _read(table: Table) -> dict[str, list[Any]]:
    if isinstance(table, str | Path):
        with Path(table).open(newline="", encoding="utf-8-sig") as file:
            read = csv.DictReader(file)
            lines = list(read)
        return {name: [line[name] for line in lines] for name in read.fieldnames or ()}
    names = list(table) if isinstance(table, Mapping) else list(table.columns)
    values = {str(name): list(table[name]) for name in names}
    if len(lengths := {len(one) for one in values.values()}) > 1:
        raise ValueError(f"All columns must be equally long; they have {sorted(lengths)} rows.")
    return values


def _resolved(name: str, values: Mapping[str, Any]) -> str:
    """A column by its name, or by the name that an export puts a word before."""
    for prefix in _PREFIXES:
        if prefix + name in values:
            return prefix + name
    raise ValueError(
        f"There is no column {name!r}; there are {listed(list(values))}. Say which holds what: arm=, seed=, "
        "validation=, test= and configuration=[...], which is [] where each arm has one."
    )


def _missing(value: Any) -> bool:
    return value is None or str(value) in ("", "<NA>") or (isinstance(value, float | np.floating) and np.isnan(value))


def _value(value: Any) -> Any:
    """A number where it is one, a whole one where it is whole; else the text."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)
    return int(number) if number.is_integer() else number


def _score(value: Any, column: str, place: int) -> float | None:
    if _missing(value):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"Column {column!r} must hold numbers; row {place + 1} holds {value!r}.") from None
    return number if math.isfinite(number) else math.nan


def _told(configuration: tuple[Any, ...], columns: Columns) -> str:
    pairs = [f"{name} = {value}" for name, value in zip(columns.configuration, configuration, strict=True)]
    return listed(pairs) if pairs else "its one configuration"


def _largest(configurations: Mapping[tuple[Any, ...], list[_Row]]) -> list[Any]:
    """The seeds of the configuration that has test scores on most."""
    tested = [[row.seed for row in rows if row.test is not None] for rows in configurations.values()]
    most = max(len(seeds) for seeds in tested)
    return sorted(next(seeds for seeds in tested if len(seeds) == most), key=str)


def _entrant(name: str, found: Mapping[tuple[Any, ...], list[_Row]], seeds: Sequence[Any], columns: Columns) -> Entrant:
    settings = sorted(found, key=repr)
    scores = [{row.seed: row for row in found[setting] if row.test is not None} for setting in settings]
    finals = [place for place, tested in enumerate(scores) if set(seeds) <= set(tested)]
    runs = [[scores[place][seed] for seed in seeds] for place in finals]
    missing = any(row.validation is None for one in runs for row in one)
    if missing and len(finals) > 1:
        raise ValueError(
            f"Arm {name!r} ran {len(finals)} configurations on the test split, so column {columns.validation!r} must "
            "say for each run how it did in validation: to choose by test scores would flatter the arm."
        )
    trials = [_trial(found[setting], set(seeds)) for setting in settings]
    configurations = [
        {key: value for key, value in zip(columns.configuration, setting, strict=True) if value is not None}
        for setting in settings
    ]
    return Entrant(
        name, np.array(trials), np.array(finals),
        np.array([[0.0 if missing else row.validation for row in one] for one in runs], dtype=np.float64),
        np.array([[row.test for row in one] for one in runs], dtype=np.float64),
        places=_places(settings), configurations=configurations, searched=len(settings) > 1,
    )  # fmt: skip


def _trial(rows: Sequence[_Row], seeds: set[Any]) -> float:
    """The mean validation score of a configuration's tuning runs, or where it has none of all its runs."""
    tuning = [row.validation for row in rows if row.test is None or row.seed not in seeds]
    known = [one for one in tuning or [row.validation for row in rows] if one is not None]
    return float(np.mean(known)) if known else math.nan


def _places(settings: Sequence[tuple[Any, ...]]) -> Floats | None:
    """Where configurations lie that differ in one number and were drawn evenly in it or in its logarithm."""
    differ = [one for one in zip(*settings, strict=True) if len(set(map(repr, one))) > 1]
    if len(differ) != 1 or not all(isinstance(value, int | float) for value in differ[0]):
        return None
    values = np.array(differ[0], dtype=np.float64)
    for places in ([np.log(values)] if (values > 0).all() else []) + [values]:
        gaps = np.diff(np.sort(places))
        if gaps.max() <= EVEN * gaps.mean():
            return places
    return None
