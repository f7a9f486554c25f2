"""Learning rates tuned on a surface: each optimizer tries a grid of them, and keeps the one that ends lowest."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from fallline.lab.descent import Descent, walk
from fallline.lab.walker import Walker
from fallline.lab.work import Ticket

#: Ranges that a surface's learning rates lie in, from lowest to highest, by rule where they are not the common one.
_COMMON = (1e-4, 10.0)
_RANGES = {
    "adadelta": (1e-2, 1e3), "ema_momentum": (1e-3, 100.0), "schedule_free_sgd": (1e-3, 100.0), "lars": (1e-3, 1e3),
    "prodigy": (1e-2, 100.0),
}  # fmt: skip
_PER_DECADE, _KEPT = 4, 512
#: What was found for a descent without its optimizers, and one of them; forgotten when there is too much of it.
_found: dict[tuple[Descent, Walker], float] = {}


def range_of(rule: str) -> tuple[float, float]:
    """The lowest and the highest learning rate to try."""
    return _RANGES.get(rule, _COMMON)


def tuned(descent: Descent, ticket: Ticket) -> Descent:
    """The same with each optimizer's learning rate the best of a grid, four to a decade of its range.

    The rates are tuned from the surface's own start, so that they stay while the start is moved. The best is the one
    whose loss, on average over the last tenth of the steps, is lowest; a path that leaves the map has lost.
    """
    here = replace(descent, walkers=(), start=descent.ground.surface.start)
    return replace(descent, walkers=tuple(replace(one, lr=_best(here, one, ticket)) for one in descent.walkers))


def _best(descent: Descent, walker: Walker, ticket: Ticket) -> float:
    key = (descent, replace(walker, lr=0.0))
    if (known := _found.get(key)) is not None:
        return known
    scores = {lr: _score(descent, replace(walker, lr=lr), ticket) for lr in grid(walker.rule)}
    if len(_found) >= _KEPT:
        _found.clear()
    best = _found[key] = min(scores, key=lambda lr: scores[lr])
    return best


def grid(rule: str) -> list[float]:
    """The learning rates to try, with two digits.

    >>> grid("adam")[:6]
    [0.0001, 0.00018, 0.00032, 0.00056, 0.001, 0.0018]
    """
    low, high = range_of(rule)
    return [float(f"{lr:.2g}") for lr in np.geomspace(low, high, round(_PER_DECADE * math.log10(high / low)) + 1)]


def _score(descent: Descent, walker: Walker, ticket: Ticket) -> float:
    path = walk(descent, walker, ticket)
    last = path.losses[-max(1, len(path.losses) // 10) :]
    score = float(last.mean())
    return score if path.outcome.ending != "left" and math.isfinite(score) else math.inf
