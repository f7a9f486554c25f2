"""A finished race as data: plain, as JSON holds it; a table of its runs; event files of TensorBoard."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fallline.racing.arm_result import ArmResult
from fallline.racing.failure import attempted
from fallline.racing.judging import Final, Trial
from fallline.racing.result import RaceResult
from fallline.racing.runs import Outcome

if TYPE_CHECKING:
    import pandas as pd


def as_plain(result: RaceResult) -> dict[str, Any]:
    """Protocol, arms, decision, warnings and occasion; numbers that are not finite are null.

    The same race, run again or gone on with after a stop, gives the same `lasting_part` of it.
    """
    diagnosis = None if result.diagnosis is None else result.diagnosis.to_json()
    clock = {} if diagnosis is None else {"diagnosis": {name: diagnosis.pop(name) for name in ("cost", "seconds")}}
    whole: dict[str, Any] = plain(
        {
            "protocol": dict(result.protocol),
            "arms": [_arm(arm, result) for arm in result.arms],
            "decision": result.decision.to_json(),
            "warnings": list(result.warnings),
            "slices": list(result.slices or ()),
            **({} if diagnosis is None else {"diagnosis": diagnosis}),
            "occasion": {
                **result.occasion,
                **clock,
                "lines": list(result.decision.lines),
                "step_seconds": {arm.name: arm.entry.step_time.value for arm in result.arms},
                "step_seconds_by_round": {arm.name: list(arm.entry.step_rounds) for arm in result.arms},
            },
        }
    )
    return whole


def lasting_part(data: Mapping[str, Any]) -> dict[str, Any]:
    """Of a race's data what no clock and no place had a say in, to compare races by.

    >>> lasting_part({"warnings": [], "decision": {"take": None, "next": None, "speed_seconds": {}}, "occasion": {}})
    {'warnings': [], 'decision': {'take': None, 'next': None}}
    """
    decision = {name: part for name, part in data["decision"].items() if name != "speed_seconds"}
    if (further := decision["next"]) is not None:
        decision["next"] = {"runs": further["runs"]}  # its command may name the storage
    return {**{name: part for name, part in data.items() if name != "occasion"}, "decision": decision}


def _arm(arm: ArmResult, result: RaceResult) -> dict[str, Any]:
    entry, score = arm.entry, arm.score
    best = entry.finals[0]
    return {
        "name": arm.name,
        "best": None
        if entry.diverged
        else {
            "configuration": arm.configuration,
            "trial": best.trial,
            "fixed": arm.arm.fixed_values,
            "code": attempted("", arm.code)[0],
        },
        "space": {name: dimension.to_json() for name, dimension in entry.space.items()},
        "trials": [_trial(trial, outcome) for trial, outcome in zip(entry.trials, arm.trials, strict=entry.searched)],
        "finals": [
            _final(final, entry.trials[final.trial], runs) for final, runs in zip(entry.finals, arm.finals, strict=True)
        ],
        "statistics": {
            "score": None if score is None else asdict(score),
            "seeds": len(best.scores),
            "diverged_seeds": arm.diverged_seeds,
            "diverged_trials": arm.diverged_trials,
            "diverged_finals": arm.diverged_finals,
            "bytes_per_parameter": entry.bytes_per_parameter,
            "reached": [asdict(goal) for goal in arm.reached],
        },
    }


def _trial(trial: Trial, outcome: Outcome) -> dict[str, Any]:
    return {
        "configuration": dict(trial.configuration), "score": trial.score, "diverged": not trial.usable,
        "comparable_score": trial.comparable, "curves": _curves(outcome),
    }  # fmt: skip


def _final(final: Final, trial: Trial, runs: tuple[Outcome, ...]) -> dict[str, Any]:
    return {
        "trial": final.trial, "configuration": dict(trial.configuration), "scores": final.scores,
        "diverged": final.diverged, "curves": [_curves(run) for run in runs],
    }  # fmt: skip


def _curves(outcome: Outcome) -> dict[str, Any]:
    names = ("steps", "samples", "train_loss", "valid_loss", "valid_metric", "diverged_at")
    return {name: getattr(outcome, name) for name in names}


def plain(value: Any) -> Any:
    """Numbers, texts, lists and mappings of them; what is not finite becomes None, anything else its name.

    >>> plain({"loss": np.array([0.5, np.nan]), "step": np.int64(3)})
    {'loss': [0.5, None], 'step': 3}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        listed = value.tolist()
        return listed if value.dtype.kind in "ifb" and np.isfinite(value).all() else plain(listed)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, (np.integer, np.bool_)):
        return value.item()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    shown: str = attempted("", lambda: repr(value))[0] or type(value).__name__
    return shown


def as_frame(result: RaceResult) -> pd.DataFrame:
    """Every run as a row.

    Columns: arm, stage ("trial" or "final"), trial (its number), seed, diverged, steps, samples, train_loss,
    valid_loss and valid_metric at the end, test_score (finals), and each searched hyperparameter; where batch sizes
    were raced, run_lr is the learning rate that the run had, scaled with its batch.

    Raises ImportError, in a sentence, without pandas.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError("to_frame needs pandas: pip install pandas") from error
    return pd.DataFrame(row for arm in result.arms for row in _rows(arm, result))


def _rows(arm: ArmResult, result: RaceResult) -> Iterator[dict[str, Any]]:
    for number, outcome in enumerate(arm.trials):
        yield _row(arm, "trial", number, result.protocol["tuning_seed"], outcome)
    for final, runs in zip(arm.entry.finals, arm.finals, strict=True):
        for seed, outcome in zip(result.protocol["final_seeds"], runs, strict=True):
            yield _row(arm, "final", final.trial, seed, outcome)


def _row(arm: ArmResult, stage: str, trial: int, seed: int, outcome: Outcome) -> dict[str, Any]:
    return {
        "arm": arm.name,
        "stage": stage,
        "trial": trial,
        "seed": seed,
        "diverged": outcome.diverged,
        "steps": int(outcome.steps[-1]),
        "samples": int(outcome.samples[-1]),
        "train_loss": float(outcome.train_loss[-1]),
        "valid_loss": float(outcome.valid_loss[-1]),
        "valid_metric": float(outcome.valid_metric[-1]),
        "test_score": outcome.score,
        **arm.arm.report(arm.entry.trials[trial].configuration, arm.problem),
    }


_CURVES = ("train_loss", "valid_loss", "valid_metric")


def write_tensorboard(result: RaceResult, folder: Path) -> None:
    """Write a run of its own, arm/trial or arm/final, for each run of the race, with its hyperparameters.

    Raises ImportError, in a sentence, without TensorBoard.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ImportError("to_tensorboard needs TensorBoard: pip install 'fallline[tensorboard]'") from error

    def write(name: str, arm: ArmResult, trial: int, outcome: Outcome) -> None:
        with SummaryWriter(str(folder / name)) as writer:
            for curve in _CURVES:
                for step, value in zip(outcome.steps, getattr(outcome, curve), strict=True):
                    writer.add_scalar(curve, float(value), int(step))
            metrics = {"final/valid_metric": float(outcome.valid_metric[-1]), "final/test_score": outcome.score}
            settings: dict[str, Any] = {"arm": arm.name, **arm.entry.trials[trial].configuration}
            writer.add_hparams(settings, metrics, run_name=".")

    for arm in result.arms:
        place = _folder_name(arm.name)
        for number, outcome in enumerate(arm.trials):
            write(f"{place}/trial {number:02d}", arm, number, outcome)
        for final, runs in zip(arm.entry.finals, arm.finals, strict=True):
            for turn, outcome in enumerate(runs):
                write(f"{place}/final of trial {final.trial:02d}, seed {turn}", arm, final.trial, outcome)


def _folder_name(name: str) -> str:
    """An arm's name without what a file system would read as a path."""
    return "".join(letter if letter.isalnum() or letter in "-_. " else "_" for letter in name).strip(".") or "arm"
