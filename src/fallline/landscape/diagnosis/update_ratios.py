"""How far a step moves the weights of each layer, measured by their own size."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from fallline._asked import number, whole
from fallline._asked import seed as as_seed
from fallline.landscape.diagnosis.short_runs import (
    STEPS,
    Array,
    Optimizer,
    as_mover,
    can_batch,
    measured_on,
)
from fallline.landscape.slice_losses import Model
from fallline.training import Problem, Progress, make_lanes, seeded, train
from fallline.training.updates import LaneUpdate

_LAST = 20  # steps whose updates are measured


@dataclass(frozen=True, eq=False)
class UpdateRatios:
    """The length of a layer's update over the length of its weights, for S seeds and L layers.

    Attributes:
        problem: The problem's name.
        optimizer: What moved the weights.
        hyperparameters: Its hyperparameters, with the learning rate.
        batch: Examples of a step.
        steps: How many steps were taken.
        last: Of so many of them, the last ones, the root of the mean square is told.
        seeds: The seeds [S].
        layers: The names of the weights of two dimensions or more [L], but for those that begin at zero with some seed:
            they have no size to measure by.
        ratios: Their ratios [S, L]; NaN where a run diverged, infinite where weights have come to be zero.
        gradients: How many gradients of a batch it took.
    """

    problem: str
    optimizer: str
    hyperparameters: dict[str, Any]
    batch: int
    steps: int
    last: int
    seeds: tuple[int, ...]
    layers: tuple[str, ...]
    ratios: Array
    gradients: int


def update_ratios(
    problem: Problem,
    optimizer: Optimizer = "sgd",
    *,
    lr: float,
    model: Model | None = None,
    seeds: int = 5,
    steps: int | None = None,
    batch: int | Literal["all"] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    **hyperparameters: Any,
) -> UpdateRatios:
    """Train for some steps, and see how far a step moves each layer's weights, measured by their own size.

    About a thousandth is usual where networks learn; a layer far below the others hardly takes part.

    Args:
        problem: What is trained.
        optimizer: A rule, a torch optimizer class, or the name of either.
        lr: The learning rate.
        model: A module, or a state_dict, that all runs begin from, unless fresh weights are drawn from each seed.
        seeds: How many runs there are.
        steps: The steps of a run; 100, or the problem's where these are fewer, unless given.
        batch: Examples of a step, "all" for the whole split; the problem's unless given.
        seed: The first of the seeds.
        progress: Called as progress(done, steps) with the steps of all runs.
        **hyperparameters: Those of the optimizer other than lr.

    Returns:
        The ratios by layer and seed.

    Raises:
        TypeError, ValueError, LookupError: It can't be measured; the sentence names the argument.

    >>> from fallline.problems import digits
    >>> found = update_ratios(digits(), "sgd", lr=0.1, steps=30)
    >>> found.layers, bool((found.ratios > 1e-4).all())
    (('0.weight', '2.weight'), True)
    """
    mover, rate = as_mover(optimizer, hyperparameters), number("lr", lr, above=0)
    given = measured_on(problem, 1, batch, model)
    seeds, seed = whole("seeds", seeds), as_seed(seed)
    steps = min(STEPS, problem.steps) if steps is None else whole("steps", steps)
    with seeded(0, given.training_device):  # whatever a model or a loss draws
        lanes = make_lanes(given, range(seed, seed + seeds), batched=seeds > 1 and can_batch(given))
        told = [
            place
            for place, tensor in enumerate(lanes.parameters)
            if tensor.dim() > 2 and bool(tensor.detach().flatten(1).any(1).all())
        ]
        meter = _Meter(LaneUpdate(lanes.parameters, [mover.lane(rate)] * seeds, lanes.seeds), lanes.parameters, steps)

        def tell(step: int, _: int) -> None:
            if progress is not None:
                progress(step * seeds, steps * seeds)

        train(lanes, meter, steps=steps, evaluate_every=steps, progress=tell)
    ratios = np.full((seeds, len(lanes.names)), np.nan)
    ratios[lanes.index.numpy()] = meter.ratios()
    return UpdateRatios(
        problem=problem.name,
        optimizer=mover.name,
        hyperparameters={**mover.settings, "lr": rate},
        batch=given.batch,
        steps=steps,
        last=min(_LAST, steps),
        seeds=tuple(range(seed, seed + seeds)),
        layers=tuple(lanes.names[place] for place in told),
        ratios=ratios[:, told],
        gradients=seeds * steps,
    )


class _Meter:
    """An update that is looked at: in the last steps, the squares of each tensor's ratio are added up."""

    def __init__(self, update: LaneUpdate, parameters: Sequence[Tensor], steps: int) -> None:
        self._update, self._first = update, max(0, steps - _LAST) + 1
        self._squares = torch.zeros(len(parameters[0]), len(parameters), dtype=torch.float64)
        self._count = 0

    def __call__(self, parameters: list[Tensor], gradients: list[Tensor], step: int) -> None:
        if step < self._first:
            return self._update(parameters, gradients, step)
        before = [parameter.clone() for parameter in parameters]
        self._update(parameters, gradients, step)
        pairs = zip(before, parameters, strict=True)
        self._squares += torch.stack([_square(after - old) / _square(old) for old, after in pairs], 1).cpu()
        self._count += 1
        return None

    def evaluated(self, parameters: list[Tensor]) -> AbstractContextManager[None]:
        return self._update.evaluated(parameters)

    def keep(self, mask: Any) -> None:
        self._squares = self._squares[torch.from_numpy(mask)]
        self._update.keep(mask)

    def ratios(self) -> Array:
        return np.asarray((self._squares / self._count).sqrt().numpy(), np.float64)


def _square(stacked: Tensor) -> Tensor:
    """The squared length [K] of each lane's tensor."""
    return stacked.detach().double().flatten(1).square().sum(1)
