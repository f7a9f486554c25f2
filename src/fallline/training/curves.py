"""What a training run leaves: losses and metric along the way, for every lane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Curves:
    """K lanes, in their original order, at P points of training; NaN where a lane was not trained or had diverged.

    `steps` and `samples` [P] count the updates made and the examples seen by then; a short run may come by several
    points in one step. `train_loss` [K, P] is the mean over
    the batches since the point before, each taken before its update; at step 0 it is the first batch's. `valid_loss`
    and `valid_metric` [K, P] are those of the whole validation split. `diverged_at` [K] is the step whose loss was out
    of bounds, or -1.
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
