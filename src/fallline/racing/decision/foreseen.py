"""What a race will be able to tell, before most of it is run: by the spreads that its first seeds show."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fallline._text import counted
from fallline.racing.decision.choice import choose, spread_of
from fallline.racing.decision.records import SPEED_SHARE, Entrant
from fallline.racing.decision.resolution import Resolution, level_of_look, resolution

FIRST_SEEDS = 2
"""On so many seeds the finals run before it is told what all of them will tell."""


def foreseen(entrants: Sequence[Entrant], seeds: int, *, higher_is_better: bool) -> Resolution | None:
    """What so many seeds will tell, by the spreads that the arms show on their first, the mean of all pairs.

    Args:
        entrants: The arms on the first seeds, at least two, alone.
        seeds: On how many they are to run.
        higher_is_better: Whether scores are better the higher they are.

    Returns:
        What will be told; None where fewer than two arms came through, or they differ in nothing.
    """
    sign = -1.0 if higher_is_better else 1.0
    rng = np.random.default_rng(0)
    arms = [arm for one in entrants if (arm := choose(one, sign, 0.0, rng)) is not None and not arm.diverged]
    if len(arms) < 2 or arms[0].entrant.seeds < 2:
        return None
    found = spread_of(arms)
    pairs = np.triu_indices(len(arms), 1)
    apart = np.maximum(found.examples - found.common, 0.0)[pairs]
    told = resolution(
        arms=len(arms),
        seeds=seeds,
        examples=found.n_examples,
        seed_spread=math.sqrt(found.n_seeds * float(found.seeds[pairs].mean())),
        example_spread=math.sqrt(found.n_examples * float(apart.mean())),
        trial_spread=math.sqrt(float(found.trials.mean())),
        level=(1 - SPEED_SHARE) * level_of_look(1),
    )
    return told if told.gap > 0 else None


def in_words(told: Resolution, *, seeds: int, examples: int | None, metric: str) -> str:
    """That as a sentence.

    >>> in_words(Resolution(0.021, 0.018, "examples"), seeds=10, examples=360, metric="accuracy")
    'By their first seeds, 10 seeds will tell two arms apart that differ by 0.021 in accuracy, in four of five such \
races. The 360 test examples limit it: more seeds would leave 0.018.'
    """
    begin = (
        f"By their first seeds, {counted(seeds, 'seed')} will tell two arms apart that differ by {told.gap:.2g} in "
        f"{metric}, in four of five such races."
    )
    rest = f"more seeds would leave {told.endless:.2g}"
    limit = {
        "seeds": f"The seeds limit it: {rest}.",
        "examples": f"The {counted(examples or 0, 'test example')} limit it: {rest}.",
        "trials": f"The draw of trials limits it: {rest}.",
    }
    return f"{begin} {limit[told.limited_by]}"
