"""Points proposed from those tried: a tree-structured Parzen estimator (Bergstra et al., 2011; Optuna's)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fallline.racing.arms.dimensions import Choice, Dimension, Value
from fallline.racing.search.sobol import own_generator

if TYPE_CHECKING:
    from fallline.racing.arms.arm import Arm


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
    >>> sum(1e-4 < point["lr"] < 1e-2 for point in points) >= 3  # most are near the best
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
