"""Networks of a lesson of which more is asked than their curves: how far each moved, and what it is in the end."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fallline.lessons.populations import population
from fallline.training import Curves, Lanes, Problem, Split
from fallline.training.updates import LaneRule, LaneUpdate

Array = NDArray[np.float64]

#: The last so many seeds choose among rates and are not judged by, where a rule's best rate is asked for.
CHOOSING = 2


@dataclass(frozen=True, eq=False)
class Followed:
    """Trained lanes, every setting on every seed; of what diverged there is NaN.

    Attributes:
        settings: The settings' names.
        seeds: How many seeds each has.
        curves: Of all lanes, the first setting's seeds first.
        lanes: Those that are left.
        steps: How far each lane moved in each step [lanes, steps].
        slopes: The length of each lane's gradient there [lanes, steps].
        displacements: How far each lane is from its start [lanes].
    """

    settings: tuple[str, ...]
    seeds: int
    curves: Curves
    lanes: Lanes
    steps: Array
    slopes: Array
    displacements: Array

    def of(self, name: str, values: NDArray[Any]) -> Array:
        """The rows [seeds, ...] of one setting, of values [lanes, ...]."""
        first = self.settings.index(name) * self.seeds
        return np.asarray(values[first : first + self.seeds], np.float64)

    def quality(self, split: Split) -> tuple[Array, Array]:
        """Loss and metric [lanes] on a split, with the weights that the lanes have now."""
        found = self.lanes.evaluate(split)
        loss, metric = (np.full(self.lanes.count, np.nan) for _ in range(2))
        loss[self.lanes.index.numpy()], metric[self.lanes.index.numpy()] = found.loss.numpy(), found.metric.numpy()
        return loss, metric

    def modules(self) -> Iterator[tuple[int, nn.Module]]:
        """Each lane that is left, with a module of its weights."""
        for place, lane in enumerate(self.lanes.index.tolist()):
            yield lane, self.lanes.module(place)


def followed(
    problem: Problem,
    settings: Mapping[str, LaneRule],
    seeds: int,
    *,
    steps: int | None = None,
    evaluate_every: int | None = None,
) -> Followed:
    """Train every setting on every seed, as `fallline.lessons.populations.trained` does, and keep what came of it.

    Args:
        problem: What is trained.
        settings: What moves the lanes, by name.
        seeds: How many seeds, from 0 on: of one seed all settings begin at the same weights and see the same batches.
        steps: Updates of each run; those of the problem's epochs unless given.
        evaluate_every: Steps between two evaluations; an epoch's unless given.

    >>> from fallline.lessons.populations import lane
    >>> from fallline.problems import breast_cancer
    >>> found = followed(breast_cancer(epochs=1), {"slow": lane("sgd", lr=0.01), "fast": lane("sgd", lr=0.1)}, seeds=2)
    >>> found.of("fast", found.steps).shape
    (2, 11)
    """
    lanes, update, curves = population(
        problem, settings, seeds, partial(_Watched, steps or problem.steps), steps=steps, evaluate_every=evaluate_every
    )
    return Followed(tuple(settings), seeds, curves, lanes, update.steps, update.slopes, update.displacements(lanes))


class _Watched:
    """Moves lanes, and notes how far."""

    def __init__(
        self, steps: int, parameters: Sequence[Tensor], rules: Sequence[LaneRule], seeds: Sequence[int]
    ) -> None:
        self._update = LaneUpdate(parameters, rules, seeds)
        self._index = np.arange(len(seeds))
        self._start = [parameter.clone() for parameter in parameters]
        self.steps, self.slopes = (np.full((len(seeds), steps), np.nan) for _ in range(2))

    def __call__(self, parameters: list[Tensor], gradients: list[Tensor], step: int) -> None:
        before = [parameter.clone() for parameter in parameters]
        self._update(parameters, gradients, step)
        self.steps[self._index, step - 1] = _lengths(_differences(parameters, before))
        self.slopes[self._index, step - 1] = _lengths(gradients)

    @contextmanager
    def evaluated(self, parameters: list[Tensor]) -> Iterator[None]:
        with self._update.evaluated(parameters):
            yield

    def keep(self, mask: NDArray[np.bool_]) -> None:
        self._update.keep(mask)
        self._index = self._index[mask]
        self._start = [start[torch.from_numpy(mask)] for start in self._start]

    def displacements(self, lanes: Lanes) -> Array:
        """How far each lane is from its start."""
        found = np.full(lanes.count, np.nan)
        found[self._index] = _lengths(_differences(lanes.parameters, self._start))
        return found


def _differences(some: Sequence[Tensor], others: Sequence[Tensor]) -> list[Tensor]:
    return [one - other for one, other in zip(some, others, strict=True)]


def _lengths(tensors: Sequence[Tensor]) -> Array:
    """The length of each lane's vector, of tensors [lanes, ...]."""
    squares = sum(tensor.flatten(1).double().square().sum(1) for tensor in tensors)
    return np.asarray(torch.as_tensor(squares).sqrt().cpu().numpy(), np.float64)


def best_of(losses: Mapping[float, Array]) -> float:
    """The rate with the lowest mean loss on the seeds that choose; one that diverged on any of them can't be it.

    Args:
        losses: By rate, one number a seed [seeds].

    Raises:
        ValueError: There is none.

    >>> best_of({0.1: np.array([1.0, 3.0, 3.0]), 1.0: np.array([5.0, 2.0, 2.0]), 10.0: np.array([1.0, 1.0, np.nan])})
    1.0
    """
    means = {rate: float(values[-CHOOSING:].mean()) for rate, values in losses.items()}
    sound = [rate for rate, mean in means.items() if math.isfinite(mean)]
    if not sound:
        raise ValueError("rates: a run diverged at every rate; try smaller ones.")
    return min(sound, key=means.__getitem__)
