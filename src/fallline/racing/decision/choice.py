"""Which of its configurations an arm takes, and what another draw of its trials would have made of that."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fallline.racing.decision.distances import Spread, spread
from fallline.racing.decision.records import Entrant, Floats, Integers, sane

REDRAWS = 1000


@dataclass(frozen=True, eq=False)
class Redraws:
    """What other draws of trials and seeds would have chosen: each a finalist, or a point on the way to a neighbour."""

    finalist: Integers  # (redraws,)
    neighbour: Integers  # (redraws,) the finalist towards which the point lies; itself where none does
    share: Floats  # (redraws,) of the way
    rise: Floats  # (redraws,) in loss towards a neighbour that is no finalist, as validation has it

    def variance(self, values: Floats, rise: Floats | float = 0.0) -> float:
        """The variance over the redraws of values (finalists, seeds), averaged over the seeds.

        Less what the finalists differ by through their seeds alone, which is no draw of trials.
        """
        means, seeds = values.mean(axis=1), values.shape[1]
        found = means[self.finalist] + self.share * (means[self.neighbour] - means[self.finalist]) + rise
        if seeds < 2:
            return float(found.var())
        chance = np.atleast_2d(np.cov(values)) / seeds
        shares = np.bincount(self.finalist, minlength=len(values)) / len(self.finalist)
        by_chance = shares @ np.diag(chance) - shares @ chance @ shares
        return float(max(found.var() - by_chance, 0.0))


@dataclass(frozen=True, eq=False)
class Chosen:
    """An arm with the configuration that it takes, as losses: lower is better."""

    entrant: Entrant
    finalist: int
    losses: Floats  # (seeds,)
    examples: Floats | None  # (seeds, examples)
    luck: float  # by which its mean loss looks lower for having been chosen on these seeds
    trials: float  # variance of the mean loss over other draws of the trials
    redraws: Redraws | None  # None where nothing was searched
    diverged: int  # of the final runs of the configuration

    @property
    def name(self) -> str:
        """The arm's name."""
        return self.entrant.name

    @property
    def loss(self) -> float:
        """The mean loss that the configuration has, without the luck of having been chosen."""
        return float(self.losses.mean()) + self.luck


def spread_of(arms: Sequence[Chosen]) -> Spread:
    """The spread of what arms took, over at least two seeds."""
    examples = [arm.examples for arm in arms if arm.examples is not None]
    return spread(
        np.stack([arm.losses for arm in arms]),
        luck=np.array([arm.luck for arm in arms]),
        trials=np.array([arm.trials for arm in arms]),
        examples=np.stack(examples) if examples else None,
    )


def stand_in(entrants: Sequence[Entrant], sign: float, untrained: float | None) -> float:
    """The loss that a run counts for that diverged: that before training, or the worst of all where that is worse.

    `sign` makes losses of scores; without a score before training it is the worst, and -inf where no run is usable.
    """
    worst = max(float((sign * one.test[one.usable]).max(initial=-math.inf)) for one in entrants)
    return worst if untrained is None else max(worst, sign * untrained)


def best_finalist(entrant: Entrant, sign: float) -> int:
    """The finalist of best mean validation over the tuning seed and the final seeds; the first if no run is usable."""
    return int(_validation(entrant, sign).sum(axis=1).argmin()) if entrant.usable.any() else 0


def choose(entrant: Entrant, sign: float, stand_in: float, rng: np.random.Generator) -> Chosen | None:
    """Take the finalist of best mean validation over the tuning seed and the final seeds; None if no run is usable.

    A configuration with fewer diverged runs goes before any with more; `stand_in` is the loss that such a run counts
    for. `sign` makes losses of scores. A run that is lucky in validation is lucky in test as well, which would favour
    arms with many finalists over those with one: so the mean loss is corrected by as much as redrawn seeds favour what
    they choose. That is two thirds of it where all finalists are alike, and all of it where they differ a little.
    """
    usable = entrant.usable
    if not usable.any():
        return None
    validation = _validation(entrant, sign)
    losses = np.where(usable, sign * entrant.test, stand_in)
    taken = int(validation.sum(axis=1).argmin())
    examples = None
    if entrant.examples is not None:
        examples = np.where(usable[taken][:, None], sign * entrant.examples[taken], stand_in)
    luck, trials, redraws = 0.0, 0.0, None
    if entrant.searched:
        weights = rng.multinomial(entrant.seeds, np.full(entrant.seeds, 1 / entrant.seeds), REDRAWS) / entrant.seeds
        means = (validation[:, 0] + entrant.seeds * weights @ validation[:, 1:].T) / (1 + entrant.seeds)
        kept = losses[means.argmin(axis=1)]
        luck = max(float((kept.mean(axis=1) - (weights * kept).sum(axis=1)).mean()), 0.0)
        redraws = _redraws(entrant, sign, validation, means, rng)
        trials = redraws.variance(losses, redraws.rise)
    diverged = int((~usable[taken]).sum())
    return Chosen(entrant, taken, losses[taken], examples, luck, trials, redraws, diverged)


def _validation(entrant: Entrant, sign: float) -> Floats:
    """Validation losses (finalists, 1 + seeds), the tuning seed first, those that diverged far above all others."""
    found = sign * np.concatenate([entrant.trials[entrant.finals, None], entrant.validation], axis=1)
    sound = sane(found)
    sound[:, 1:] &= entrant.usable
    if not entrant.searched:
        return np.where(sound, found, 0.0)
    low, high = found[sound].min(), found[sound].max()
    return np.where(sound, found, high + (high - low + 1.0) * found.size)


def _redraws(
    entrant: Entrant, sign: float, validation: Floats, means: Floats, rng: np.random.Generator
) -> Redraws:  # fmt: skip
    """Draw trials again, beside the seeds whose draws gave the validation means (redraws, finalists); choose anew.

    Trials that lie evenly on one dimension would lie as evenly in another draw, each anywhere up to its neighbours:
    what that costs is read off the straight line between them. (Two draws of a stretch differ by less as a rule, but
    with that 8 % of the races whose best lies at the edge of what diverges had false statements.) Others are drawn
    with replacement, and the worst finalist stands in where none is drawn.
    """
    finalists = len(validation)
    rows, nobody = np.arange(REDRAWS), np.zeros(REDRAWS)
    if entrant.places is None:
        count = entrant.trials.size
        drawn = np.zeros((REDRAWS, count), dtype=bool)
        drawn[rows[:, None], rng.integers(0, count, (REDRAWS, count))] = True
        there = drawn[:, entrant.finals]
        there[~there.any(axis=1), validation.sum(axis=1).argmax()] = True
        chosen = np.where(there, means, np.inf).argmin(axis=1)
        return Redraws(chosen, chosen, nobody, nobody)
    neighbours, rises = _sides(entrant, sign, validation)
    moves = rng.uniform(-1.0, 1.0, (REDRAWS, finalists))
    side, share = (moves > 0).astype(np.int64), np.abs(moves)
    towards = neighbours[np.arange(finalists), side]
    rise = share * rises[np.arange(finalists), side]
    average = validation.mean(axis=1)
    chosen = (means + share * (average[towards] - average) + rise).argmin(axis=1)
    return Redraws(chosen, towards[rows, chosen], share[rows, chosen], rise[rows, chosen])


def _sides(entrant: Entrant, sign: float, validation: Floats) -> tuple[Integers, Floats]:
    """Of each finalist (finalists, 2) the neighbours of its stage below and above; an end has the same one twice.

    A neighbour that is no finalist gives the rise in validation of its trial, as it was not among the best.
    """
    assert entrant.places is not None
    losses = sign * entrant.trials
    losses = np.where(sane(losses), losses, losses[sane(losses)].max(initial=validation[:, 0].max()))
    stages = np.zeros(losses.size, dtype=np.int64) if entrant.stages is None else entrant.stages
    finalist_of = {int(trial): place for place, trial in enumerate(entrant.finals)}
    found, rises = np.arange(len(validation))[:, None].repeat(2, axis=1), np.zeros((len(validation), 2))
    for trial, own in finalist_of.items():
        stage = np.flatnonzero(stages == stages[trial])
        order = stage[np.argsort(entrant.places[stage], kind="stable")]
        at = int(np.flatnonzero(order == trial)[0])
        ends = [at - 1 if at > 0 else at + 1, at + 1 if at + 1 < len(order) else at - 1]
        for side, end in enumerate(ends if len(order) > 1 else []):
            neighbour = int(order[end])
            found[own, side] = finalist_of.get(neighbour, own)
            if neighbour not in finalist_of:
                rises[own, side] = max(losses[neighbour] - losses[trial], 0.0)
    return found, rises
