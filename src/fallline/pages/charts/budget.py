"""The budget curve: how good the best of k trials is to be expected."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fallline.pages.charts.picture import Axis, Mark, Picture, Table, score_scale, shown_number
from fallline.pages.charts.race_data import RaceData


@dataclass(frozen=True, eq=False)
class Budget:
    """The expected best validation score [k - 1] of k trials for each arm by name."""

    metric: str
    higher_is_better: bool
    untrained: float
    arms: dict[str, NDArray[np.float64]]


def budget(race: RaceData) -> Budget:
    """Gather the budget curves."""
    return Budget(race.metric, race.higher_is_better, race.untrained, {arm.name: arm.budget for arm in race.arms})


def budget_picture(found: Budget) -> Picture:
    """Draw one line for each arm."""
    every = np.concatenate(list(found.arms.values()))
    scale = score_scale(every, found.untrained, higher_is_better=found.higher_is_better)
    trials = max(len(curve) for curve in found.arms.values())
    return Picture(
        "Expected best of k trials",
        {"trials": Axis("trials")},
        Axis(f"validation {found.metric} of the best", scale.logarithmic),
        tuple(
            Mark("line", number, {"trials": np.arange(1.0, len(curve) + 1)}, scale.shown(curve))
            for number, curve in enumerate(found.arms.values())
        ),
        dict(enumerate(found.arms)),
        Table(
            ("trials", *found.arms),
            tuple(
                (str(k + 1), *(shown_number(curve[k]) if k < len(curve) else "" for curve in found.arms.values()))
                for k in range(trials)
            ),
        ),
        notes=(
            "Exact for the trials that were run: drawn k at a time, the mean of the best. Where lines cross, who leads "
            "depends on how many trials one can afford. A trial that diverged counts as the worst of its arm, or as "
            "the untrained model where that is worse.",
            *scale.left_out(every),
        ),
    )
