"""Runs as Optuna's trials, written in bulk and read back, their outcomes bit for bit what they were."""

from __future__ import annotations

import base64
import contextlib
import json
import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fallline.racing.arms import Dimension
from fallline.racing.runs import Outcome, Run
from fallline.racing.storage.database import tables

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial
    from sqlalchemy.orm import Session


_SCORED = "finals"
Spaces = Mapping[str, Mapping[str, Dimension]]


class Trials:
    """The trials of one study.

    Optuna adds trials one by one, with some fifteen queries each: 792 runs take it four seconds, and can be cut off
    half-way. So rows are made of its own table classes, all in one transaction. Where arms search something of one
    name in different ways, which Optuna does not allow, it is called "arm.name" there.
    """

    def __init__(self, study: int, spaces: Spaces) -> None:
        self.study = study
        self._parameters = _parameters(spaces)

    def add(self, session: Session, stage: str, runs: Mapping[int, Run], outcomes: Mapping[int, Outcome]) -> None:
        """Add finished runs of a stage, by their numbers there."""
        from sqlalchemy import func, select

        count = session.scalar(select(func.count()).where(tables().TrialModel.study_id == self.study)) or 0
        session.add_all(
            self._row(count + place, stage, number, runs[number], outcome)
            for place, (number, outcome) in enumerate(outcomes.items())
        )

    def _row(self, place: int, stage: str, number: int, run: Run, outcome: Outcome) -> Any:
        from optuna.distributions import distribution_to_json
        from optuna.trial import TrialState

        models = tables()
        now = datetime.now()
        value = outcome.score if stage == _SCORED else float(outcome.valid_metric[-1])
        sound = math.isfinite(value) and not outcome.diverged
        row = models.TrialModel(
            number=place,
            study_id=self.study,
            state=TrialState.COMPLETE if sound else TrialState.FAIL,
            datetime_start=now,
            datetime_complete=now,
        )
        if sound:
            stored, kind = models.TrialValueModel.value_to_stored_repr(value)
            row.values.append(models.TrialValueModel(objective=0, value=stored, value_type=kind))
        for name, chosen in run.configuration.items():
            title, distribution = self._parameters[run.arm, name]
            row.params.append(
                models.TrialParamModel(
                    param_name=title,
                    param_value=distribution.to_internal_repr(chosen),
                    distribution_json=distribution_to_json(distribution),
                )
            )
        facts = {"arm": run.arm, "stage": stage, "number": number, "seed": run.seed, "outcome": pack(outcome)}
        row.user_attributes.extend(
            models.TrialUserAttributeModel(key=key, value_json=json.dumps(fact)) for key, fact in facts.items()
        )
        return row


def read_runs(trials: list[FrozenTrial]) -> dict[str, dict[int, Outcome]]:
    """The outcomes in a study's trials, by stage and number; of two of one number the first, of others none."""
    found: dict[str, dict[int, Outcome]] = {}
    for trial in trials:
        # Somebody else's trial, or one that was tampered with, is no run.
        with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError, zlib.error):
            facts = trial.user_attrs
            found.setdefault(facts["stage"], {}).setdefault(facts["number"], unpack(facts["outcome"]))
    return {stage: outcomes for stage, outcomes in found.items() if outcomes}


def _parameters(spaces: Spaces) -> dict[tuple[str, str], tuple[str, BaseDistribution]]:
    """What each arm's dimensions are called in Optuna, and their distributions."""
    distributions = {
        (arm, name): dimension.distribution() for arm, space in spaces.items() for name, dimension in space.items()
    }
    split = set(_split_names(distributions))
    return {
        (arm, name): (f"{arm}.{name}" if name in split else name, distribution)
        for (arm, name), distribution in distributions.items()
    }


def _split_names(distributions: Mapping[tuple[str, str], BaseDistribution]) -> Iterator[str]:
    """Names of which Optuna would not take the distributions of all arms."""
    from optuna.distributions import check_distribution_compatibility

    first: dict[str, BaseDistribution] = {}
    for (_, name), distribution in distributions.items():
        try:
            check_distribution_compatibility(first.setdefault(name, distribution), distribution)
        except ValueError:
            yield name


_ARRAYS = tuple(field.name for field in fields(Outcome) if field.name not in ("diverged_at", "score", "examples"))


def pack(outcome: Outcome) -> dict[str, Any]:
    """An outcome as JSON holds it: the arrays' types and lengths, and their bytes compressed, in base64.

    >>> nothing = np.array([np.nan])
    >>> packed = pack(Outcome(np.array([0]), np.array([0]), nothing, nothing, nothing, diverged_at=0))
    >>> packed["arrays"]["train_loss"], packed["diverged_at"]
    (['<f4', 1], 0)
    """
    arrays = {name: getattr(outcome, name) for name in _ARRAYS} | {"score": np.array([outcome.score], np.float64)}
    if outcome.examples is not None:
        arrays["examples"] = outcome.examples
    narrow = {name: _narrowed(values) for name, values in arrays.items()}
    content = b"".join(values.tobytes() for values in narrow.values())
    return {
        "diverged_at": outcome.diverged_at,
        "arrays": {name: [values.dtype.str, len(values)] for name, values in narrow.items()},
        "bytes": base64.b64encode(zlib.compress(content)).decode("ascii"),
    }


def unpack(packed: Mapping[str, Any]) -> Outcome:
    """The outcome that `pack` packed."""
    content = zlib.decompress(base64.b64decode(packed["bytes"]))
    arrays: dict[str, NDArray[Any]] = {}
    begin = 0
    for name, (kind, length) in packed["arrays"].items():
        stored = np.frombuffer(content, kind, length, begin)
        begin += stored.nbytes
        arrays[name] = stored.astype(np.int64 if stored.dtype.kind == "i" else np.float64)
    score = float(arrays.pop("score")[0])
    examples = arrays.pop("examples", None)
    return Outcome(**arrays, diverged_at=packed["diverged_at"], score=score, examples=examples)


def _narrowed(values: NDArray[Any]) -> NDArray[Any]:
    """Little-endian integers, and floats in single precision where not a bit is lost by that."""
    if values.dtype.kind == "i":
        return values.astype("<i8")
    wide = np.ascontiguousarray(values, "<f8")
    with np.errstate(all="ignore"):
        narrow = wide.astype("<f4")
        same = np.array_equal(narrow.astype("<f8").view("<i8"), wide.view("<i8"))
    return narrow if same else wide
