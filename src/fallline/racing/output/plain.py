"""A finished race as plain data, as JSON holds it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from fallline.racing.ending import attempted
from fallline.racing.judging.records import Final, Trial
from fallline.racing.judging.statistics import budget_curve
from fallline.racing.result import ArmResult, RaceResult
from fallline.racing.runs import Outcome


def as_plain(result: RaceResult) -> dict[str, Any]:
    """Protocol, arms, verdict and occasion; numbers that are not finite are null.

    What a clock or a place had a say in is under "occasion", so that the same race, run again or taken up again after a
    stop, gives the same data everywhere else.
    """
    verdict = asdict(result.verdict)
    sentence = verdict.pop("sentence")
    del verdict["scores"]  # each arm has its own
    whole: dict[str, Any] = plain(
        {
            "protocol": dict(result.protocol),
            "arms": [_arm(arm, result) for arm in result.arms],
            "verdict": verdict,
            "slices": list(result.slices or ()),
            "occasion": {
                **result.occasion,
                "sentence": sentence,
                "step_seconds": {arm.name: arm.entry.step_time.value for arm in result.arms},
                "step_seconds_by_round": {arm.name: list(arm.entry.step_rounds) for arm in result.arms},
            },
        }
    )
    return whole


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
        "trials": [_trial(trial, outcome) for trial, outcome in zip(entry.trials, arm.trials, strict=True)],
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
            "expected_best_of_k_trials": _budget_curve(arm, result),
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


def _budget_curve(arm: ArmResult, result: RaceResult) -> list[float]:
    """The best validation score to expect of k trials of one length, a diverged one counting as the worst of them."""
    sign = -1.0 if result.protocol["higher_is_better"] else 1.0
    scores = [trial.comparable for trial in arm.entry.trials]
    losses = [None if score is None else sign * score for score in scores]
    before = sign * result.protocol["untrained_valid_score"]
    known = [loss for loss in (*losses, None if math.isnan(before) else before) if loss is not None]
    worst = max([loss for loss in known if math.isfinite(loss)], default=math.nan)
    if math.isnan(worst):
        return [math.nan] * len(losses)
    curve: list[float] = (sign * budget_curve([worst if loss is None else loss for loss in losses])).tolist()
    return curve


def plain(value: Any) -> Any:
    """Numbers, texts, lists and mappings of them; what is not finite becomes None, anything else its name.

    >>> plain({"loss": np.array([0.5, np.nan]), "step": np.int64(3)})
    {'loss': [0.5, None], 'step': 3}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
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
