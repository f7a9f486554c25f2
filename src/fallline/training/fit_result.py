"""What `fallline.fit` leaves: the model, the curves, and why it ended."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from os import PathLike
from pathlib import Path

import torch
from torch import nn

from fallline.averaging import WeightAverage

_FIRST, _LAST = 3, 9  # rows of a long table that are shown


@dataclass(frozen=True)
class Point:
    """One row of the curves; None where there is nothing to tell.

    `step` counts the updates made by then. `training_loss` is the mean over the examples since the row before, each
    taken before the update that its batch made. `validation_loss` and `metric` are of the whole validation split; on a
    stream, `metric` is the batch's, before the update. `learning_rate` is the first param group's at the last update.
    """

    epoch: int
    step: int
    training_loss: float | None
    validation_loss: float | None
    metric: float | None
    learning_rate: float | None


@dataclass(repr=False)
class FitResult:
    """A training run that has ended.

    `model` holds the weights of the last step, or their averages if the optimizer itself keeps these (Schedule-Free).
    `averages` is the running average that `fit` was asked for; `averages.swapped()` puts it into the model. `curves`
    has a row before the first step and one an epoch, or one a batch of a stream. `finished` says whether training went
    to its end, `reason` in a sentence why it ended, and `evaluated` in another which weights the validation columns are
    of.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    averages: WeightAverage | None
    curves: list[Point]
    metric_name: str
    finished: bool
    reason: str
    evaluated: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of a row's columns; the metric's by its own name."""
        return "epoch", "step", "training_loss", "validation_loss", self.metric_name, "learning_rate"

    def to_csv(self, path: str | PathLike[str]) -> None:
        """Write the curves as a CSV file with a header; what is None is left empty.

        Raises FileNotFoundError if the file's folder is not there.
        """
        folder = Path(path).resolve().parent
        if not folder.is_dir():
            raise FileNotFoundError(f"path: there is no folder {folder}; make it first, or give a path in another one.")
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(self.columns)
            writer.writerows(map(astuple, self.curves))

    def __repr__(self) -> str:
        cells = [[_shown(value) for value in astuple(point)] for point in self.curves]
        if len(cells) > _FIRST + _LAST:
            cells[_FIRST:-_LAST] = [["..." for _ in self.columns]]
        averaged = [self.evaluated] if "average" in self.evaluated else []
        return "\n".join([*_aligned([self.columns, *cells]), *averaged, self.reason])


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
