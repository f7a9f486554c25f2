"""What training leaves: the curves of a population of lanes, and the result of one run of `fallline.fit`."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fallline.averaging import WeightAverage


@dataclass(frozen=True)
class Curves:
    """K lanes, in their original order, at P points of training; NaN where a lane was not trained or had diverged.

    Attributes:
        steps: The updates made by each point [P]; a short run may come by several points in one step.
        samples: The examples seen by then [P].
        train_loss: The mean [K, P] over the batches since the point before, each taken before its update; at step 0 it
            is the first batch's.
        valid_loss: The loss of the whole validation split [K, P].
        valid_metric: Its metric [K, P].
        diverged_at: The step [K] whose loss was out of bounds, or -1.
    """

    steps: NDArray[np.int64]
    samples: NDArray[np.int64]
    train_loss: NDArray[np.float64]
    valid_loss: NDArray[np.float64]
    valid_metric: NDArray[np.float64]
    diverged_at: NDArray[np.int64]

    @property
    def diverged(self) -> NDArray[np.bool_]:
        """Which lanes diverged [K]."""
        return self.diverged_at >= 0


class Recorder:
    """Fills curves point by point from the lanes that are left."""

    def __init__(self, count: int, steps: list[int], samples: list[int]) -> None:
        self._steps, self._samples = steps, samples
        self._point = {step: place for place, step in enumerate(dict.fromkeys(steps))}
        self._values = {
            name: torch.full((count, len(self._point)), torch.nan, dtype=torch.float64)
            for name in ("train_loss", "valid_loss", "valid_metric")
        }
        self._diverged_at = torch.full((count,), -1)

    def wants(self, step: int) -> bool:
        """Whether there is a point at this step."""
        return step in self._point

    def write(self, step: int, index: Tensor, **values: Tensor) -> None:
        """Store values [K] of the lanes `index` [K] that have not diverged."""
        sound = self._diverged_at[index] < 0
        for name, value in values.items():
            self._values[name][index[sound], self._point[step]] = value.cpu().double()[sound]

    def diverge(self, index: Tensor, steps: Tensor) -> None:
        """Mark the lanes `index` [K] as diverged at `steps` [K], not at all where that is -1; the first mark counts."""
        known = self._diverged_at[index]
        self._diverged_at[index] = torch.where(known < 0, steps, known)

    def sound(self, index: Tensor) -> Tensor:
        """Return which of the lanes `index` [K] have not diverged."""
        return self._diverged_at[index] < 0

    def curves(self) -> Curves:
        """Return the record."""
        columns = [self._point[step] for step in self._steps]
        return Curves(
            steps=np.array(self._steps, dtype=np.int64),
            samples=np.array(self._samples, dtype=np.int64),
            diverged_at=self._diverged_at.numpy(),
            **{name: value[:, columns].numpy() for name, value in self._values.items()},
        )


@dataclass(frozen=True)
class Point:
    """One row of the curves; None where there is nothing to tell.

    Attributes:
        epoch: The pass over the examples that it ends, from 1; 0 before the first.
        step: The updates made by then.
        training_loss: The mean over the examples since the row before, each taken before the update that its batch
            made.
        validation_loss: The loss of the whole validation split.
        metric: Its metric; on a stream that of the batch, before the update.
        learning_rate: The first param group's at the last update.
    """

    epoch: int
    step: int
    training_loss: float | None
    validation_loss: float | None
    metric: float | None
    learning_rate: float | None


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The model of a run after some of its steps, as `fallline.landscape` takes it.

    Attributes:
        step: The updates made by then.
        learning_rate: The first param group's at that moment; None for an optimizer without one.
        state: A state_dict of its own.
    """

    step: int
    learning_rate: float | None
    state: dict[str, Tensor]


@dataclass(repr=False)
class FitResult:
    """A training run that has ended.

    Attributes:
        model: The module, with the weights of the last step, or their averages if the optimizer itself keeps these
            (Schedule-Free).
        optimizer: What has trained it.
        averages: The running average that `fit` was asked for; `averages.swapped()` puts it into the model.
        curves: A row before the first step and one an epoch, or one a batch of a stream.
        metric_name: What the metric is called.
        finished: Whether training went to its end.
        reason: A sentence on why it ended.
        evaluated: A sentence on which weights the validation columns are of.
        checkpoints: As many as `fit` was asked for, in order; of a run that ended early those that it came to.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    averages: WeightAverage | None
    curves: list[Point]
    metric_name: str
    finished: bool
    reason: str
    evaluated: str = ""
    checkpoints: Sequence[Checkpoint] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of a row's columns; the metric's by its own name."""
        return "epoch", "step", "training_loss", "validation_loss", self.metric_name, "learning_rate"

    def to_csv(self, path: str | PathLike[str]) -> None:
        """Write the curves as a CSV file with a header; what is None is left empty.

        Args:
            path: The file, which is replaced if it is there.

        Raises:
            FileNotFoundError: The file's folder is not there.
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


_FIRST, _LAST = 3, 9  # rows of a long table that are shown


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
