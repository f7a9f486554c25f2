"""What to be wary of in a race: each caution is one function that gives no, one or several sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fallline._text import counted, listed
from fallline.racing.arms import Range
from fallline.racing.decision import LEVEL
from fallline.racing.judging.records import Entry, Final
from fallline.racing.judging.statistics import Floats

ROUNDING = 1e-12
"""Losses within this share of each other are equal: shares of whole examples differ by the rounding of sums."""


def cautions(entries: Sequence[Entry], *, higher_is_better: bool) -> tuple[str, ...]:
    """Every caution that the entries alone can raise; those that need counts are called apart."""
    return (*best_at_edge(entries, higher_is_better=higher_is_better), *many_dimensions(entries))


def best_at_edge(entries: Sequence[Entry], *, higher_is_better: bool) -> tuple[str, ...]:
    """An arm whose trials still improve towards an end of its space, so that the best may lie beyond."""
    found = []
    for entry in entries:
        best = entry.trials[entry.finals[0].trial].configuration
        for name, dimension in entry.space.items():
            side = edge_of(entry, name, higher_is_better=higher_is_better)
            if side is None or not isinstance(dimension, Range):
                continue
            end, move = ("upper", "raise") if side == "high" else ("lower", "lower")
            beyond = f"above {dimension.high:g}" if side == "high" else f"below {dimension.low:g}"
            found.append(
                f"The best {name} of {entry.name}, {best[name]:.3g}, lies at the {end} end of its space, towards which "
                f"the trials still improve: the best may lie outside, so {move} its {end} end {beyond} and race again."
            )
    return tuple(found)


def missed_target(reached: Mapping[str, int], *, runs: int) -> tuple[str, ...]:
    """A target that most final runs missed; `reached` counts, for each sound arm, its runs of `runs` that got there.

    >>> missed_target({"adam": 3, "sgd": 1}, runs=10)
    ('Only 4 of 20 final runs reached the target: ease the target or give each run more steps.',)
    """
    hits, total = sum(reached.values()), runs * len(reached)
    if not all(0 <= count <= runs for count in reached.values()):
        raise ValueError(f"reached must count runs of each arm, from 0 to {runs}; it is {dict(reached)}.")
    if 2 * hits >= total:
        return ()
    if total == 1:
        return ("The only final run missed the target: ease the target or give the run more steps.",)
    count = f"Only {hits}" if hits else "None"
    return (
        f"{count} of {counted(total, 'final run')} reached the target: ease the target or give each run more steps.",
    )


def many_dimensions(entries: Sequence[Entry]) -> tuple[str, ...]:
    """Two or more searched dimensions: the same trials cover them more thinly and real gaps are missed more often.

    Where fewer than two arms can be compared there are no gaps.
    """
    wide = {entry.name: len(entry.trials) for entry in entries if len(entry.space) > 1}
    if not wide or sum(not entry.diverged for entry in entries) < 2:
        return ()
    return (
        f"Two or more dimensions are searched for {listed([*wide])} with {counted(max(wide.values()), 'trial')}: "
        "real gaps are found far less often than with one, so take more trials.",
    )


def proposed_trials(rounds: int | None) -> tuple[str, ...]:
    """Later rounds of trials, which were proposed from earlier ones, are no independent draws.

    >>> proposed_trials(1)
    ()
    """
    if rounds in (None, 1):
        return ()
    return (
        "Later trials were proposed from earlier ones, so another draw of trials could differ more than the interval "
        "that is used, which takes them as drawn alike.",
    )


def unequal_budgets(samples: Mapping[str, int]) -> tuple[str, ...]:
    """Arms that were granted different numbers of examples to train on.

    >>> unequal_budgets({"adam": 640, "sgd": 640})
    ()
    """
    if len(set(samples.values())) <= 1:
        return ()
    low, high = (pick(samples, key=samples.__getitem__) for pick in (min, max))
    return (
        f"The arms were not granted the same: {low} saw {samples[low]:,} samples and {high} {samples[high]:,}, since "
        "batches of different sizes do not end alike.",
    )


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
    if dimension.open and any(not dimension.low <= value <= dimension.high for value in values):
        return None  # the search went on beyond the end
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
    best, *others = entry.finals
    rivals = [_mean_loss(final, sign) for final in others if further_in[final.trial]]
    alone = len(entry.space) == 1
    improves = lead > _noise(entry, losses[first]) and all(_mean_loss(best, sign) < loss for loss in rivals)
    return side if improves and (alone or _rises(inward, losses)) else None


def _noise(entry: Entry, loss: float) -> float:
    """The largest difference between two runs that the seeds explain, at 95 %; infinite where too few seeds tell."""
    from scipy.special import stdtrit

    scores = entry.finals[0].scores[entry.finals[0].usable]
    if len(scores) < 2:
        return math.inf
    reach = float(stdtrit(len(scores) - 1, 1 - LEVEL / 2)) * math.sqrt(2) * float(scores.std(ddof=1))
    return max(reach, ROUNDING * abs(loss))


def _mean_loss(final: Final, sign: float) -> float:
    """The mean loss of a finalist; infinite where no run of it is usable."""
    return sign * float(final.scores[final.usable].mean()) if final.usable.any() else math.inf


def _rises(inward: Floats, losses: Floats) -> bool:
    """Whether losses rise with the distance from the end, over the half of the range that is nearer to it."""
    from scipy.stats import kendalltau

    half: NDArray[np.bool_] = (inward < 0.5) & np.isfinite(losses)
    if len(set(losses[half].tolist())) < 2:
        return False
    return bool(kendalltau(inward[half], losses[half], alternative="greater").pvalue < LEVEL)
