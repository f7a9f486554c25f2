"""Successive halving, in whole numbers: all trials run a small share of the steps, the best of them go on to more.

Jamieson and Talwalkar, *Non-stochastic Best Arm Identification and Hyperparameter Optimization*, 2016. Trials are
compared within an arm only, and every arm keeps equally many.
"""

from __future__ import annotations

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
