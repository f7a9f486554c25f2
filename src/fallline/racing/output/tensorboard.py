"""A race's curves as event files of TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fallline.racing.result import ArmResult, RaceResult
from fallline.racing.runs import Outcome

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
