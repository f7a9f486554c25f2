"""Which points of an arm's space are tried: drawn evenly, proposed from those tried, and which go on to longer runs.

Where one range is searched, an even grid with a random offset is drawn rather than a point of each of its stretches at
random: no two neighbours are further apart than they must be, so that the best lies between those of the best trial;
and a grid of twice as many points holds the points of the first.
"""

from __future__ import annotations

import math
import warnings
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fallline.racing.arms import Choice, Dimension, Range, Value

if TYPE_CHECKING:
    from fallline.racing.arms import Arm


def only_range(arm: Arm) -> tuple[str, Range] | None:
    """The name and the range of an arm that searches nothing else: it can be searched in two stages."""
    found = [(name, one) for name, one in arm.space.items() if len(arm.space) == 1 and isinstance(one, Range)]
    return found[0] if found else None


def wide_places(arm: Arm, count: int, seed: int) -> list[float]:
    """The first stage: `count` places from 0 to 1, an arm's own, equally far apart.

    >>> from fallline.racing import Arm
    >>> from fallline.rules import adam
    >>> places = wide_places(Arm("adam", adam), 4, seed=0)
    >>> set(places) < set(wide_places(Arm("adam", adam), 8, seed=0))
    True
    """
    return even_places(count, own_offset(arm, seed))


def near_places(arm: Arm, wide: Sequence[float], best: int, count: int, seed: int) -> list[float]:
    """The second stage: `count` places, an arm's own, equally far apart about the best of the first.

    See `about`; where the arm's range is not open they stay within it.
    """
    found = only_range(arm)
    low, high = about(wide, best, is_open=found is not None and found[1].open)
    return [low + (high - low) * place for place in even_places(count, own_offset(arm, seed, 1))]


def even_places(count: int, offset: int) -> list[float]:
    """`count` places from 0 to 1, equally far apart; with the same offset, in units of 2**-32, more hold fewer of them.

    >>> even_places(2, 2**30), even_places(4, 2**30)
    ([0.25, 0.75], [0.0, 0.25, 0.5, 0.75])
    """
    first = count * offset % 2**32 / 2**32
    return [(number + first) / count for number in range(count)]


_WIDEST = 8
"""Of so many places the neighbours bound the neighbourhood; of more those that are as far away."""


def about(places: Sequence[float], best: int, *, is_open: bool) -> tuple[float, float]:
    """The ends of the neighbourhood of the best of even places: to those next to it, twice as far beyond an end.

    It is never narrower than with `_WIDEST` places: one run each tells them apart no better when there are more, and a
    neighbourhood that does not hold the true best is searched in vain.

    >>> about([0.125, 0.375, 0.625, 0.875], 1, is_open=True), about([0.125, 0.375, 0.625, 0.875], 3, is_open=True)
    ((0.125, 0.625), (0.625, 1.375))
    """
    spacing = 1 / min(len(places), _WIDEST)
    low = places[best] - (1 if best > 0 else 2) * spacing
    high = places[best] + (1 if best + 1 < len(places) else 2) * spacing
    return (low, high) if is_open else (max(low, 0.0), min(high, 1.0))


def own_offset(arm: Arm, *seeds: int) -> int:
    """A whole number below 2**32 of an arm's own."""
    return int(own_generator(arm, *seeds).integers(2**32))


def sobol_points(arm: Arm, count: int, seed: int) -> list[dict[str, Value]]:
    """Scrambled Sobol points of an arm's space, a draw of its own that follows from its name and the seed.

    (Sobol, 1967; a random linear scramble and digital shift, Matoušek, 1998.) Fewer points are the first of more.
    Raises ValueError unless `count` is at least 1.

    >>> from fallline.racing import Arm
    >>> from fallline.rules import adam
    >>> points = sobol_points(Arm("adam", adam), 16, seed=0)
    >>> sum(point["lr"] < 1e-4 for point in points)  # three sevenths of the seven decades, as evenly as can be
    7
    """
    from scipy.stats import qmc

    if count < 1:
        raise ValueError(f"count must be at least 1; got {count}")
    sampler = qmc.Sobol(len(arm.space), scramble=True, rng=own_generator(arm, seed))
    # The sequence is balanced at powers of two; the first points of one are taken.
    unit = sampler.random_base2(max(1, (count - 1).bit_length()))[:count]
    return [
        {name: dimension.at(float(place)) for (name, dimension), place in zip(arm.space.items(), row, strict=True)}
        for row in unit
    ]


def own_generator(arm: Arm, *seeds: int) -> np.random.Generator:
    """Random numbers of an arm's own, which follow from its name and the seeds."""
    return np.random.default_rng([*seeds, zlib.crc32(arm.name.encode())])


def propose(
    arm: Arm, points: Sequence[Mapping[str, Value]], losses: Sequence[float | None], count: int, seed: int
) -> list[dict[str, Value]]:
    """Propose `count` points of an arm's space, from points tried and their losses, where less is better.

    A loss that is None or not finite stands for a run that diverged, worse than all others. The proposals follow from
    the arm's name, the seed, and what was tried. Dimensions are modelled together, ranges on their own scale. Raises
    ValueError unless there are as many losses as points.

    >>> from fallline.racing import Arm
    >>> from fallline.rules import adam
    >>> tried = [{"lr": 10.0**-power} for power in range(1, 7)]
    >>> losses = [None, 2.0, 0.1, 2.0, 3.0, 4.0]
    >>> points = propose(Arm("adam", adam), tried, losses, count=5, seed=0)
    >>> sum(1e-5 < point["lr"] < 1e-1 for point in points) >= 3  # most are near the best
    True
    """
    import optuna

    if len(points) != len(losses):
        raise ValueError(f"losses must be one a point: there are {len(points)} points and {len(losses)} losses")
    sound = [None if loss is None or not math.isfinite(loss) else float(loss) for loss in losses]
    worst = max((loss for loss in sound if loss is not None), default=0.0)
    beyond = worst + max(1.0, abs(worst))
    asked = {name: _unit_distribution(dimension) for name, dimension in arm.space.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # older versions call these options so
        sampler = optuna.samplers.TPESampler(
            n_startup_trials=1,  # the Sobol points are the start
            multivariate=True,
            constant_liar=True,
            seed=int(own_generator(arm, seed, len(points)).integers(2**32)),
        )
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(sampler=sampler)
        study.add_trials(
            [
                optuna.create_trial(
                    params={name: _to_unit(dimension, point[name]) for name, dimension in arm.space.items()},
                    distributions=asked,
                    value=beyond if loss is None else loss,
                )
                for point, loss in zip(points, sound, strict=True)
            ]
        )
        proposed = [study.ask(asked).params for _ in range(count)]
    finally:
        optuna.logging.set_verbosity(verbosity)
    return [{name: _from_unit(arm.space[name], value) for name, value in one.items()} for one in proposed]


def _unit_distribution(dimension: Dimension) -> Any:
    """A range as its share of the way, on which it is even; a choice as the number of its option."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if isinstance(dimension, Choice):
        return CategoricalDistribution(range(len(dimension.options)))
    return FloatDistribution(0.0, 1.0)


def _to_unit(dimension: Dimension, value: Value) -> float:
    return dimension.options.index(value) if isinstance(dimension, Choice) else dimension.place(float(value))


def _from_unit(dimension: Dimension, unit: float) -> Value:
    return dimension.options[int(unit)] if isinstance(dimension, Choice) else dimension.at(unit)


def rungs(trials: int, factor: int, finalists: int) -> list[tuple[int, int]]:
    """How many trials of an arm run on each rung, and the one part in how many of the full length they run there.

    One trial in `factor` goes on to `factor` times the steps, until at least the finalists run in full. A rung that
    would let go less than a third of the trials before it is left out.

    >>> rungs(48, factor=3, finalists=6), rungs(16, factor=1, finalists=5)
    ([(48, 9), (16, 3), (6, 1)], [(16, 1)])
    """
    counts = [trials]
    while 3 * (kept := max(finalists, -(-counts[-1] // factor))) <= 2 * counts[-1]:
        counts.append(kept)
    last = len(counts) - 1
    return [(count, factor ** (last - rung)) for rung, count in enumerate(counts)]
