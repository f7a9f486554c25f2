"""A race as a table of its runs, for one's own analysis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fallline.racing.result import ArmResult, RaceResult
from fallline.racing.runs import Outcome

if TYPE_CHECKING:
    import pandas as pd


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
