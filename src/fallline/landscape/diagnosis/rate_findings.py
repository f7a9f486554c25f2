"""What a range of learning rates says, in sentences; each is silent where the evidence is thin."""

from __future__ import annotations

import math

import numpy as np

from fallline._text import counted
from fallline.landscape.diagnosis.finding import FEWEST_SEEDS, Finding, rounded_up, shown
from fallline.landscape.diagnosis.rate_range import FALL, RateRange
from fallline.landscape.diagnosis.short_runs import Array

#: Ends of an interval that are this close are told as one number.
_ONE_NUMBER = 1.25
#: How near to each other a measured edge and the limit of the curvature must be for the one to explain the other.
_EXPLAINED = 0.1


def diverging_rates(rates: RateRange, top: float | None = None, limit: float | None = None) -> Finding | None:
    """Above which rates runs fail; because of the top curvature, where its limit is where the first seed failed.

    They diverge only where all of those above did; else some merely ended worse than an untrained model. Silent where
    no run of some seed failed, or one above did not.

    Args:
        rates: The range.
        top: The top curvature at the first seed's first weights.
        limit: The product of rate and curvature beyond which the optimizer diverges on a quadratic.
    """
    first, last = rates.edge_ends
    beyond = rates.failed[:, rates.rates > last]
    if len(rates.seeds) < FEWEST_SEEDS or not math.isfinite(last) or not beyond.size or not beyond.all():
        return None
    diverged = rates.diverged[:, rates.rates > last]
    what = "diverge" if diverged.all() else "fail (diverge, or end worse than untrained)"
    if not diverged.any():
        what = "end worse than untrained"
    sentence = f"Learning rates above {rounded_up(last, 3)} {what}"
    some = float(rates.edges[:, 1].min())
    if last > _ONE_NUMBER * first and rates.failed[:, rates.rates >= some].any(0).all():
        sentence += f", and from {rounded_up(some, 3)} on with some seeds"
    numbers = {"edge": rates.edge, "low": first, "high": last, "diverged": float(diverged.mean())}
    evidence = (
        f"edges of {counted(len(rates.seeds), 'seed')}: {shown(first, 3)} to {shown(last, 3)}; of "
        f"{counted(diverged.size, 'run')} above {diverged.sum()} diverged and {(~diverged).sum()} ended worse than "
        f"untrained; {_runs(rates)}"
    )
    if top is not None and top > 0 and limit is not None:
        limit /= top
        numbers |= {"top_curvature": top, "limit": limit}
        evidence += f"; top curvature at the start {shown(top, 3)}, whose limit is {shown(limit, 3)}"
        if abs(float(rates.edge_by_seed[0]) / limit - 1) <= _EXPLAINED:
            sentence += f", for the top curvature is {shown(top)}"
    return Finding("rates", f"{sentence}.", evidence, numbers)


def training_rates(rates: RateRange, rate: float | None = None) -> Finding | None:
    """Which rates train, and whether the one in use is too low or too high.

    Where no rate lowers the loss with any seed by what is worth the name, that is told. Silent where the range goes on
    beyond what was tried. Of a rate in use nothing is said that lies next to one that trains: only what lies between
    rates that were tried and do not, or beyond them.

    Args:
        rates: The range.
        rate: The rate in use; None where there is none.
    """
    if len(rates.seeds) < FEWEST_SEEDS:
        return None
    if not rates.anything_trains:
        return _nothing_trains(rates)
    if rates.trains is None:
        return None
    low, high = rates.trains
    if low == rates.rates[0] or high == rates.rates[-1]:  # nobody knows where the range ends
        return None
    numbers, ends = {"low": low, "high": high}, f"from {shown(low)} to {shown(high)}"
    sentence = f"Learning rates {ends} train"
    if rate is not None:
        numbers["rate"] = rate
        beside = _beside(rates.rates, rate)
        if not low <= rate <= high and not rates.trained[beside].any():
            what, remedy = ("low", "raise") if rate < low else ("high", "lower")
            sentence = f"A learning rate of {shown(rate)} is too {what}: those {ends} train; {remedy} it"
    evidence = (
        f"with every seed they made at least half of the fall in loss that the best rate made; {_runs(rates)}, on "
        f"{counted(rates.examples, 'example')} of train"
    )
    return Finding("rates", f"{sentence}.", evidence, numbers)


def _nothing_trains(rates: RateRange) -> Finding | None:
    """Silent where some seeds' losses fell."""
    most = float(rates.best_falls.max())
    if most >= FALL:
        return None
    sentence = (
        f"No learning rate of those tried trains this: in {counted(rates.steps, 'step')} none of {len(rates.rates)} "
        f"from {shown(float(rates.rates[0]))} to {shown(float(rates.rates[-1]))} lowers the loss by more than "
        f"{most:.1%}; look at the initial weights and at what the loss depends on."
    )
    evidence = (
        f"best falls of {counted(len(rates.seeds), 'seed')}: {float(rates.best_falls.min()):.1%} to {most:.1%} of "
        f"{shown(float(rates.first_losses.mean()), 3)}; {_runs(rates)}, on {counted(rates.examples, 'example')} of "
        "train"
    )
    return Finding("rates", sentence, evidence, {"fall": most})


def _beside(tried: Array, rate: float) -> list[int]:
    """The places of the rates that were tried nearest to one, below it and above: the same where it was itself."""
    below, above = int(np.searchsorted(tried, rate, "right")) - 1, int(np.searchsorted(tried, rate))
    return [max(below, 0), min(above, len(tried) - 1)]


def _runs(rates: RateRange) -> str:
    return f"runs of {counted(rates.steps, 'step')} of {rates.optimizer} in batches of {rates.batch}"
