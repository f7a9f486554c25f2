"""The finals: every seed's test score for each arm's best configuration, and the mean with its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fallline.pages.charts.picture import Axis, Mark, Picture, Table, shortened, shown_number
from fallline.pages.charts.race_data import RaceData
from fallline.racing.judging.records import Estimate

_LONGEST_NAME = 20


@dataclass(frozen=True, eq=False)
class ArmFinals:
    """One arm's test scores [S], NaN where a seed is no use, and their mean with its 95 % interval, if there is one."""

    name: str
    scores: NDArray[np.float64]
    mean: Estimate | None


@dataclass(frozen=True, eq=False)
class Finals:
    """The finals of all arms, in the verdict's ranking."""

    metric: str
    arms: tuple[ArmFinals, ...]


def finals(race: RaceData) -> Finals:
    """Gather the test scores."""
    bests = [(arm, arm.entry.finals[0]) for arm in race.arms]
    return Finals(
        race.metric,
        tuple(ArmFinals(arm.name, np.where(best.usable, best.scores, np.nan), arm.score) for arm, best in bests),
    )


def finals_picture(found: Finals) -> Picture:
    """Draw a row for each arm, the first at the top: hollow dots for seeds, a dot and a line for mean and interval."""
    marks: list[Mark] = []
    last = len(found.arms) - 1
    for number, arm in enumerate(found.arms):
        there = arm.scores[np.isfinite(arm.scores)]
        marks.append(Mark("hollow", number, {"score": there}, np.full(len(there), float(last - number))))
        if arm.mean is not None and arm.mean.has_interval:
            ends = np.array([arm.mean.low, arm.mean.high])
            marks.append(Mark("interval", number, {"score": ends}, np.full(2, float(last - number))))
        if arm.mean is not None:
            marks.append(Mark("dots", number, {"score": np.array([arm.mean.value])}, np.array([float(last - number)])))
    return Picture(
        "Test scores of the finals",
        {"score": Axis(f"test {found.metric}")},
        Axis("", ticks=tuple(_label(arm) for arm in reversed(found.arms)), view=(-0.6, last + 0.6)),
        tuple(marks),
        {},
        Table(
            ("arm", "mean", "low", "high", "seeds"),
            tuple((arm.name, *_mean(arm), ", ".join(map(shown_number, arm.scores))) for arm in found.arms),
        ),
        notes=_notes(found),
    )


def _notes(found: Finals) -> tuple[str, ...]:
    if not any(arm.mean is not None and arm.mean.has_interval for arm in found.arms):
        return ()
    fallen = any(arm.mean is not None and not np.isfinite(arm.scores).all() for arm in found.arms)
    counts = " A seed that diverged counts in the mean, as the untrained model or as worse." if fallen else ""
    return (f"Full dot and line: mean over the seeds and its 95 % interval. Hollow dots: the seeds.{counts}",)


def _label(arm: ArmFinals) -> str:
    fallen = int((~np.isfinite(arm.scores)).sum())
    return f"{shortened(arm.name, _LONGEST_NAME)} (n = {len(arm.scores)}{f', {fallen} diverged' if fallen else ''})"


def _mean(arm: ArmFinals) -> tuple[str, str, str]:
    if arm.mean is None:
        return ("diverged", "", "")
    ends = (arm.mean.low, arm.mean.high) if arm.mean.has_interval else ()
    low, high = map(shown_number, ends) if ends else ("", "")
    return shown_number(arm.mean.value), low, high
