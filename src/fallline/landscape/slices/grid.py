"""The losses at the points of a grid through the weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fallline.training import Lanes, Problem, Split, make_lanes
from fallline.training.errors import parts, pass_budget

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Ray:
    """One tensor of a model on its way: `origin` [...], and what a step along each axis adds, [dimensions, ...].

    Without axes it stays. It never leaves `lowest` and `highest` [...], where these are given.
    """

    origin: Tensor
    axes: Tensor | None = None
    lowest: Tensor | None = None
    highest: Tensor | None = None

    def at(self, places: Tensor) -> Tensor:
        """The tensor at places [n, dimensions]: [n, ...]."""
        if self.axes is None:
            return self.origin.expand(len(places), *self.origin.shape)
        steps = places.to(self.origin) @ self.axes.reshape(len(self.axes), -1)
        there = self.origin + steps.view(-1, *self.origin.shape)
        return there if self.lowest is None else there.clamp(self.lowest, self.highest)


def grid_places(offsets: Sequence[Array]) -> Tensor:
    """All combinations of the offsets, [n, dimensions]; those of the first axis change fastest.

    >>> grid_places([np.array([0.0, 1.0]), np.array([5.0, 7.0])]).tolist()
    [[0.0, 5.0], [1.0, 5.0], [0.0, 7.0], [1.0, 7.0]]
    """
    columns = np.meshgrid(*offsets)
    return torch.from_numpy(np.stack([column.ravel() for column in columns], 1))


def lanes_for_grid(given: Problem, models: Lanes, points: int, *, batched: bool) -> Lanes:
    """Lanes to evaluate so many points with, as many at once as fit into memory; each can hold any of the models."""
    lane = sum(tensor[0].numel() * tensor.element_size() for tensor in (*models.parameters, *models.buffers))
    passes = math.ceil(points / max(1, pass_budget(models.device) // lane)) if batched else points
    # All models are among the lanes, so that whatever differs between them is a tensor of the lanes.
    count = max(len(models), math.ceil(points / passes))
    return make_lanes(given, [*range(len(models)), *[0] * (count - len(models))], batched=batched)


@torch.no_grad()
def losses_at(places: Tensor, rays: Sequence[Ray], lanes: Lanes, split: Split) -> Array:
    """The losses [n] at places [n, dimensions]; one ray for each parameter and buffer of the lanes.

    The lanes are overwritten. What comes out as NaN or infinite is left so.
    """
    found = []
    for part in parts(len(places), len(lanes)):
        here = places[part].to(lanes.device)
        for tensor, ray in zip((*lanes.parameters, *lanes.buffers), rays, strict=True):
            tensor[: len(here)] = ray.at(here)
        found.append(lanes.evaluate(split).loss[: len(here)])
    return np.asarray(torch.cat(found).numpy(), np.float64)
