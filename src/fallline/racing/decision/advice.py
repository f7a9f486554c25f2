"""What to take where several arms may be best, and over which values of the searched setting it does as well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fallline.racing.decision.choice import Chosen
from fallline.racing.decision.records import Floats, sane

KEPT = 0.9
"""Of the gain over the untrained model, where a setting counts as good as the best."""
ALIKE = 0.05
"""Upper ends within this share of each other are equal: critical values are no surer."""


@dataclass(frozen=True)
class GoodRange:
    """The values of the one searched setting, about the one taken, that keep 90 % of the gain."""

    setting: str
    low: float
    high: float
    width: float  # in the units of the trials' places


def searched_setting(arm: Chosen) -> str | None:
    """The one setting, a number, in which an arm's trials differ; None where there is none, or are several."""
    configurations = arm.entrant.configurations
    if configurations is None or len(configurations) < 2:
        return None
    names = dict.fromkeys(name for one in configurations for name in one)
    differ = [name for name in names if len({repr(one.get(name)) for one in configurations}) > 1]
    if len(differ) != 1 or not all(_is_number(one.get(differ[0])) for one in configurations):
        return None
    return differ[0]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def good_range(arm: Chosen, sign: float, untrained: float | None) -> GoodRange | None:
    """The trials next to each other about the one taken that keep 90 % of its gain in validation."""
    entrant, setting = arm.entrant, searched_setting(arm)
    if untrained is None or entrant.places is None or setting is None or entrant.configurations is None:
        return None
    taken = int(entrant.finals[arm.finalist])
    runs = sign * np.append(entrant.validation[arm.finalist], entrant.trials[taken])
    best = float(runs[sane(runs)].mean())
    if best >= sign * untrained:
        return None
    losses = np.where(sane(entrant.trials), sign * entrant.trials, np.inf)
    losses[taken] = best
    order = np.argsort(entrant.places, kind="stable")
    good = losses[order] <= best + (1 - KEPT) * (sign * untrained - best)
    at = int(np.flatnonzero(order == taken)[0])
    first = at - int(np.argmin(np.append(good[at::-1], False))) + 1
    last = at + int(np.argmin(np.append(good[at:], False))) - 1
    low, high = (float(entrant.configurations[order[end]][setting]) for end in (first, last))
    return GoodRange(setting, low, high, float(entrant.places[order[last]] - entrant.places[order[first]]))


def recommended(
    furthest: Floats,
    candidates: Sequence[int],
    *,
    margin: float,
    steps: Sequence[float | None],
    widths: Sequence[float | None],
    bytes: Sequence[float | None],
    losses: Sequence[float],
) -> tuple[int, str]:
    """Which candidate to take, and what decided: the smallest upper end of its distance from the best.

    Among those that are alike in that, within the margin or a twentieth, the fastest; then the one of the widest range
    of good settings; then the one whose step moves the fewest bytes; then the one of the lowest mean loss; else the
    first. What is not known of all of them does not decide.

    >>> recommended(np.array([0.2, 0.2, 0.5]), [0, 1, 2], margin=0.0, steps=[30.0, 20.0, 1.0], widths=[None] * 3,
    ...             bytes=[None] * 3, losses=[0.1, 0.1, 0.1])
    (1, 'speed')
    """
    if len(candidates) == 1:
        return candidates[0], "alone"
    least = float(furthest[list(candidates)].min())
    alike = [one for one in candidates if furthest[one] <= max(margin, least * (1 + ALIKE))]
    if len(alike) == 1:
        return alike[0], "distance"
    wide = [None if one is None else -one for one in widths]
    for reason, values in (("speed", steps), ("range", wide), ("bytes", bytes), ("score", losses)):
        known = [value for one in alike if (value := values[one]) is not None]
        if len(known) == len(alike):
            alike = [one for one in alike if values[one] == min(known)]
        if len(alike) == 1:
            return alike[0], reason
    return alike[0], "name"
