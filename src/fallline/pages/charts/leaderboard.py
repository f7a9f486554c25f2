"""The finals: every seed's test score for each arm's best configuration, and the mean with its interval.

The leaderboard: what each arm reached, at what cost, and where its best settings lie.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fallline.pages.charts.picture import Axis, Mark, Picture, Table, shortened, shown_number
from fallline.pages.charts.race_data import ArmData, RaceData
from fallline.racing.judging.cautions import edge_of
from fallline.racing.judging.records import Estimate
from fallline.racing.output.table import diverged_legend, scored, time_legend
from fallline.racing.runs import Reached
from fallline.racing.wording import counted, duration

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


@dataclass(frozen=True)
class Cell:
    """A text, what it is sorted by (None comes last), and a remark."""

    text: str
    value: float | str | None
    remark: str = ""


@dataclass(frozen=True)
class Leaderboard:
    """Headings, the rows in the verdict's ranking, and what the columns mean."""

    headings: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    legend: str


def leaderboard(race: RaceData) -> Leaderboard:
    """Gather the leaderboard of a race."""
    rows = [dict(_cells(race, rank, arm)) for rank, arm in enumerate(race.arms, start=1)]
    headings = tuple(dict.fromkeys(heading for row in rows for heading in row))
    nothing = Cell("", None)
    return Leaderboard(headings, tuple(tuple(row.get(one, nothing) for one in headings) for row in rows), _legend(race))


def _cells(race: RaceData, rank: int, arm: ArmData) -> Iterator[tuple[str, Cell]]:
    """Heading and cell, from left to right."""
    step = arm.entry.step_time
    yield "arm", Cell(arm.name, arm.name)
    yield "rank", Cell(str(rank), rank)
    yield f"test {race.metric}{' (95 % interval)' if race.protocol['seeds'] > 1 else ''}", _score(arm)
    yield "seeds", _seeds(arm)
    for name in sorted({name for one in race.arms for name in one.entry.space}, key=lambda name: name != "lr"):
        yield f"best {name}", _best(arm, name, higher_is_better=race.higher_is_better)
    goal = shown_goal(race)
    if goal is not None:
        reached = arm.reached[goal]
        what = f"{reached.goal:.3g}"
        yield f"steps to {what}", _effort(reached, reached.steps)
        if any("batch" in one.entry.space for one in race.arms):
            yield f"samples to {what}", _effort(reached, reached.samples)
        time = None if reached.steps is None else step.times(reached.steps)
        yield f"time to {what}", Cell("missed", None) if time is None else Cell(duration(time), time.value)
    yield "time a step", Cell(duration(step), step.value)
    moved = arm.entry.bytes_per_parameter
    yield "bytes per parameter", Cell("", None) if math.isnan(moved) else Cell(f"{moved:.0f}", moved)
    yield "diverged", _diverged(arm)


def shown_goal(race: RaceData) -> int | None:
    """Which of the goals, that get harder and harder, the table shows: the last that half of the arms reached."""
    if not race.arms[0].reached:
        return None
    goals = zip(*(arm.reached for arm in race.arms), strict=True)
    there = [sum(one.steps is not None for one in goal) for goal in goals]
    return max((place for place, count in enumerate(there) if 2 * count >= len(race.arms)), default=0)


def _score(arm: ArmData) -> Cell:
    if arm.score is None or arm.entry.diverged:
        return Cell("diverged", None)
    return Cell(scored(arm.score), arm.score.value)


def _seeds(arm: ArmData) -> Cell:
    usable = arm.entry.finals[0].usable
    count = int(usable.sum())
    return Cell(str(count) if usable.all() else f"{count} of {len(usable)}", count)


def _best(arm: ArmData, name: str, *, higher_is_better: bool) -> Cell:
    """The best value, and whether it sits at the edge of what was searched."""
    value = None if arm.best is None else arm.best["configuration"].get(name)
    if value is None:
        return Cell("", None)
    if isinstance(value, (int, float)) and name in arm.entry.space:
        edge = edge_of(arm.entry, name, higher_is_better=higher_is_better)
        return Cell(f"{value:.3g}", value, "at the edge" if edge else "")
    return Cell(str(value), str(value))


def _effort(reached: Reached, effort: int | None) -> Cell:
    if effort is None:
        return Cell("missed", None, f"{reached.reached} of {reached.runs} got there")
    return Cell(f"{effort:,}", effort)


def _diverged(arm: ArmData) -> Cell:
    trials = sum(not trial.usable for trial in arm.entry.trials)
    runs = int((~arm.entry.finals[0].usable).sum())
    return Cell(f"{trials} + {runs}", trials + runs)


def _legend(race: RaceData) -> str:
    p, goal = race.protocol, shown_goal(race)
    sentences = [
        f"{counted(p['trials_per_arm'], 'trial')} an arm; the score is the mean of the best one's runs by validation "
        f"on {counted(p['seeds'], 'fresh seed')}, on the test split."
    ]
    if goal is not None:
        what = f"a validation {race.metric}" if p.get("target") is not None else "a validation loss"
        sentences.append(
            f"Steps and time are those to {what} of {race.arms[0].reached[goal].goal:.3g} at the median seed; "
            "missed: by half the seeds or more. Time is steps times the time of a step."
        )
    sentences.append(time_legend([arm.entry for arm in race.arms]))
    sentences.append("Bytes: what a step moves to and from memory.")
    sentences.append(f"At the edge: the best may lie outside what was searched. {diverged_legend()}")
    return " ".join(sentences)
