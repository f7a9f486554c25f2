"""Successive halving, in whole numbers: all trials run a small share of the steps, the best of them go on to more.

Jamieson and Talwalkar, *Non-stochastic Best Arm Identification and Hyperparameter Optimization*, 2016. Trials are
compared within an arm only, and every arm keeps equally many.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

#: Trials on a rung, and its share of a full run as numerator and denominator.
Rung = tuple[int, int, int]


def rungs(trials: int, factor: int, finalists: int) -> list[Rung]:
    """The rungs: one trial in `factor` goes on to `factor` times the steps, until at least the finalists run in full.

    A rung that would let go less than a third of the trials before it is left out. Raises ValueError unless `trials`
    and `finalists` are at least 1, `finalists` at most `trials`, and `factor` at least 2.

    >>> rungs(48, factor=3, finalists=6)
    [(48, 1, 9), (16, 1, 3), (6, 1, 1)]
    """
    if not 1 <= finalists <= trials:
        raise ValueError(f"finalists must be from 1 to the {trials} trials; got {finalists}")
    if factor < 2:
        raise ValueError(f"factor must be at least 2; got {factor}")
    counts = [trials]
    while 3 * (kept := max(finalists, -(-counts[-1] // factor))) <= 2 * counts[-1]:
        counts.append(kept)
    last = len(counts) - 1
    return [(count, 1, factor ** (last - rung)) for rung, count in enumerate(counts)]


def survivors(losses: Sequence[float | None], keep: int) -> list[int]:
    """Which trials go on: the `keep` with the lowest losses, best first; equals in their order.

    None and what is not finite stand for a trial that diverged; it goes on only where too few others are left, so that
    every arm keeps equally many. Raises ValueError unless `keep` is from 1 to the number of trials.

    >>> survivors([0.3, None, 0.1, 0.2], keep=2)
    [2, 3]
    """
    if not 1 <= keep <= len(losses):
        raise ValueError(f"keep must be from 1 to the {len(losses)} trials; got {keep}")
    sound = [math.inf if loss is None or not math.isfinite(loss) else loss for loss in losses]
    return sorted(range(len(sound)), key=sound.__getitem__)[:keep]


def full_runs(ladder: Sequence[Rung]) -> Fraction:
    """What all rungs cost together, in full runs, each rung begun anew.

    >>> full_runs([(48, 1, 9), (16, 1, 3), (6, 1, 1)])
    Fraction(50, 3)
    """
    return sum((Fraction(count * numerator, denominator) for count, numerator, denominator in ladder), Fraction(0))
