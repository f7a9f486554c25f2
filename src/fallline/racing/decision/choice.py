"""Which of its configurations an arm takes, and what another draw of its trials would have made of that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fallline.racing.decision.records import Entrant, Floats, Integers, sane

REDRAWS = 1000


@dataclass(frozen=True, eq=False)
class Chosen:
    """An arm with its configuration chosen, as losses: lower is better.

    `losses` (seeds,) and `examples` (seeds, examples) are scored by a choice that did not see the seed.
    """

    entrant: Entrant
    finalist: int
    losses: Floats
    examples: Floats | None
    redraws: float  # variance of the mean loss over other draws of the trials
    diverged: int  # final runs of the configuration taken

    @property
    def name(self) -> str:
        """The arm's name."""
        return self.entrant.name


def choose(entrant: Entrant, sign: float, stand_in: float, rng: np.random.Generator) -> Chosen | None:
    """Take the finalist of best mean validation over the tuning seed and the final seeds; None if no run is usable.

    A configuration with fewer diverged runs goes before any with more. Each seed is then scored by the configuration
    that the *other* seeds choose: a run that is lucky in validation is lucky in test too, and choosing by it would
    favour arms with many finalists over those with one.
    """
    usable = entrant.usable
    if not usable.any():
        return None
    validation = _validation(entrant, sign)
    losses = np.where(usable, sign * entrant.test, stand_in)
    apart = (validation.sum(axis=1, keepdims=True) - validation[:, 1:]).argmin(axis=0)
    seeds = np.arange(entrant.seeds)
    taken = int(validation.sum(axis=1).argmin())
    examples = None
    if entrant.examples is not None:
        examples = np.where(usable[..., None], sign * entrant.examples, stand_in)[apart, seeds]
    redraws = _redraws(entrant, validation, losses, rng) if entrant.searched else 0.0
    return Chosen(entrant, taken, losses[apart, seeds], examples, redraws, int((~usable[taken]).sum()))


def _validation(entrant: Entrant, sign: float) -> Floats:
    """Validation losses (finalists, 1 + seeds), the tuning seed first, those that diverged far above all others."""
    found = np.concatenate([entrant.trials[entrant.finals, None], entrant.validation], axis=1) * sign
    sound = sane(found)
    if not entrant.searched:
        sound[:, 0], found[:, 0] = True, 0.0
    sound[:, 1:] &= entrant.usable
    low, high = found[sound].min(), found[sound].max()
    return np.where(sound, found, high + (high - low + 1.0) * found.size)


def _redraws(entrant: Entrant, validation: Floats, losses: Floats, rng: np.random.Generator) -> float:
    """The variance of the mean loss when trials and seeds are drawn again and the choice is made anew."""
    drawn = redrawn(entrant, rng)
    there = np.stack([(drawn == trial).any(axis=1) for trial in entrant.finals], axis=1)
    seeds = validation.shape[1] - 1
    counts = rng.multinomial(seeds, np.full(seeds, 1 / seeds), REDRAWS)
    means = validation[:, 0] + counts @ validation[:, 1:].T
    last = int(validation.sum(axis=1).argmax())  # stands in where none of the finalists is drawn
    chosen = np.where(there.any(axis=1), np.where(there, means, np.inf).argmin(axis=1), last)
    return float(losses.mean(axis=1)[chosen].var())


def redrawn(entrant: Entrant, rng: np.random.Generator) -> Integers:
    """Trials (redraws, trials) as another search might have drawn them.

    Trials that lie evenly give way to a neighbour of their stage at most, in half of the redraws, for another draw
    would be as even; others are drawn with replacement. Source: Wolter, Introduction to Variance Estimation, 2007,
    sections 2.5 (collapsed strata) and 8.2 (overlapping differences).
    """
    count = entrant.trials.size
    if entrant.places is None:
        return rng.integers(0, count, (REDRAWS, count))
    stages = np.zeros(count, dtype=np.int64) if entrant.stages is None else entrant.stages
    drawn = np.empty((REDRAWS, count), dtype=np.int64)
    for stage in np.unique(stages):
        own = np.flatnonzero(stages == stage)
        order = own[np.argsort(entrant.places[own], kind="stable")]
        order = np.pad(order, 1, "reflect") if len(own) > 1 else np.repeat(order, 3)  # an end has one neighbour
        step = np.array([-1, 0, 0, 1])[rng.integers(0, 4, (REDRAWS, len(own)))]
        drawn[:, own] = order[np.arange(1, len(own) + 1) + step]
    return drawn
