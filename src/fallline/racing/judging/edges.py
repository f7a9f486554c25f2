"""Whether the best of what was searched may lie outside: at an end of its space, towards which trials still improve."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fallline.racing.arms.dimensions import Range
from fallline.racing.judging.pairs import ROUNDING
from fallline.racing.judging.records import Entry
from fallline.racing.judging.statistics import LEVEL, Floats


def edge_of(entry: Entry, name: str, *, higher_is_better: bool) -> str | None:
    """At which end of a dimension, "low" or "high", the best may lie beyond what was searched; None for neither.

    There the best trial is within half a spacing of the end, on the dimension's own scale, nothing further out
    diverged, and the quality still improves towards the end: the best is better than all trials further in by more than
    the seeds of the finals explain, and no finalist further in did as well in the finals. Where more than this was
    searched, another dimension may have done it, so Kendall's rank correlation with the place must tell as much, too,
    among the trials in the end's half. Options have no ends, and there is nothing beyond 0.
    """
    dimension, first = entry.space[name], entry.finals[0].trial
    if entry.diverged or not isinstance(dimension, Range):
        return None
    values = [float(trial.configuration[name]) for trial in entry.trials]
    side = dimension.edge(values[first], within=1 / (2 * len(values)))
    if side is None or (side == "low" and dimension.low == 0):
        return None
    places = np.array([dimension.place(value) for value in values])
    inward = places if side == "low" else 1 - places  # how far from that end
    sign = -1.0 if higher_is_better else 1.0
    losses = np.array([sign * trial.score if trial.usable else math.inf for trial in entry.trials])
    further_in = inward > inward[first]
    if np.isinf(losses[inward < inward[first]]).any() or not np.isfinite(losses[further_in]).any():
        return None
    lead = losses[further_in].min() - losses[first]
    finals = [_mean_loss(entry, place, sign) for place, final in enumerate(entry.finals)
              if place == 0 or further_in[final.trial]]  # fmt: skip
    alone = len(entry.space) == 1
    improves = lead > _noise(entry, losses[first]) and all(finals[0] < loss for loss in finals[1:])
    return side if improves and (alone or _rises(inward, losses)) else None


def _noise(entry: Entry, loss: float) -> float:
    """The largest difference between two runs that the seeds explain, at 95 %; infinite where too few seeds tell."""
    from scipy.special import stdtrit

    scores = entry.finals[0].scores[entry.finals[0].usable]
    if len(scores) < 2:
        return math.inf
    reach = float(stdtrit(len(scores) - 1, 1 - LEVEL / 2)) * math.sqrt(2) * float(scores.std(ddof=1))
    return max(reach, ROUNDING * abs(loss))


def _mean_loss(entry: Entry, place: int, sign: float) -> float:
    """The mean loss of a finalist; infinite where no run of it is usable."""
    final = entry.finals[place]
    return sign * float(final.scores[final.usable].mean()) if final.usable.any() else math.inf


def _rises(inward: Floats, losses: Floats) -> bool:
    """Whether losses rise with the distance from the end, over the half of the range that is nearer to it."""
    from scipy.stats import kendalltau

    half: NDArray[np.bool_] = (inward < 0.5) & np.isfinite(losses)
    if len(set(losses[half].tolist())) < 2:
        return False
    return bool(kendalltau(inward[half], losses[half], alternative="greater").pvalue < LEVEL)
