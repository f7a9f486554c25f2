"""Which kind of lanes a problem can have."""

from __future__ import annotations

import copy
import itertools
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from fallline.training.batched import BatchedLanes
from fallline.training.errors import first_line
from fallline.training.lanes import Lanes
from fallline.training.modules import slots, stackable
from fallline.training.problem import Problem
from fallline.training.sequential import SequentialLanes
from fallline.training.splits import Split

_FEWEST = 4  # lanes for which a batched pass pays
_TOLERANCE = 1e4  # in units of the dtype's rounding error


def lanes_for(problem: Problem, seeds: Sequence[int]) -> Lanes:
    """Make lanes for these seeds: batched where the model allows it, else one at a time, with a warning that says why.

    >>> from fallline.problems import digits
    >>> type(lanes_for(digits(), seeds=range(8))).__name__
    'BatchedLanes'
    """
    obstacle = obstacle_to_batching(problem, seeds[0]) if len(seeds) >= _FEWEST else None
    if obstacle is not None:
        warnings.warn(f"The lanes are trained one at a time, since they can't be batched: {obstacle}.", stacklevel=2)
    return make_lanes(problem, seeds, batched=obstacle is None)


def make_lanes(problem: Problem, seeds: Sequence[int], *, batched: bool) -> Lanes:
    """Make batched lanes, or lanes that take turns: where batching is ruled out, and where it does not pay."""
    return (BatchedLanes if batched and len(seeds) >= _FEWEST else SequentialLanes)(problem, seeds)


def obstacle_to_batching(problem: Problem, seed: int) -> str | None:
    """Say why this problem's lanes can't be batched; None where they can.

    Both kinds are tried on a few batches, with two lanes; batched lanes will do when their gradients, losses and all
    that their models hold agree with those of ordinary modules to rounding.

    >>> from fallline.problems import digits
    >>> obstacle_to_batching(digits(), seed=0) is None
    True
    """
    plain = copy.copy(problem)
    plain.precision = None  # in few bits two ways to the same number differ, and say nothing
    seeds = (seed, seed ^ 1)
    alone = _numbers(SequentialLanes(plain, seeds))
    try:
        together = _numbers(BatchedLanes(plain, seeds))
        if problem.precision is not None:
            _numbers(BatchedLanes(problem, seeds))
    except Exception as error:
        return first_line(error.__cause__ or error).split(". ")[0]
    for name, numbers in alone.items():
        difference = _difference(together[name], numbers)
        if not difference <= _TOLERANCE * torch.finfo(alone["loss"][0].dtype).eps:
            return f"their {name} would differ by {difference:.1g} of its size"
    return None


def _numbers(lanes: Lanes) -> dict[str, list[Tensor]]:
    """What lanes compute from the first batches, the smaller one at the end among them, and hold afterwards."""
    problem, batches = lanes.problem, lanes.batches()
    losses, gradients = [], []
    for step, place in enumerate((0, batches.steps_per_epoch - 1, 0), 1):
        loss, gradient = lanes.gradients(batches.at(place), step)
        losses.append(loss)
        gradients += gradient
        piece = Split(problem.valid.inputs[: problem.batch], problem.valid.targets[: problem.batch])
        quality = lanes.evaluate(piece)
    lanes.check()
    modules = [lanes.module(lane) for lane in range(len(lanes))]
    return {
        "loss": losses,
        "gradient": gradients,
        "parameters and buffers": [
            slot.get().detach()
            for module in modules
            for slot in itertools.chain(*slots(module))
            if slot.get().dtype.is_floating_point and stackable(slot.get())
        ],
        "evaluation": [quality.loss, quality.metric],
    }


def _difference(some: list[Tensor], others: list[Tensor]) -> float:
    """The largest difference of two lists of tensors, as a share of the largest norm among them."""
    largest = max((float(other.norm()) for other in others), default=0.0)
    difference = max((float((one - other).norm()) for one, other in zip(some, others, strict=True)), default=0.0)
    return difference / largest if largest else difference
