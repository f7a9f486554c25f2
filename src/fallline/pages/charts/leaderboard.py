"""The leaderboard: what each arm reached, at what cost, and where its best settings lie; and the finals as a chart."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fallline._text import counted, duration, shortened
from fallline.pages.charts.picture import Axis, Mark, Picture, Table, charted, shown_number
from fallline.pages.charts.race_data import ArmData, RaceData
from fallline.racing import Reached
from fallline.racing.judging import edge_of
from fallline.racing.output import diverged_legend, not_searched, scored, time_legend

_LONGEST_NAME = 20


@charted("leaderboard", "Leaderboard")
def leaderboard_pictures(race: RaceData) -> tuple[Picture, ...]:
    """The finals: a row for each arm, the first at the top; hollow dots for seeds, a dot and a line for the mean."""
    marks: list[Mark] = []
    last = len(race.arms) - 1
    for number, arm in enumerate(race.arms):
        scores = _final_scores(arm)
        there = scores[np.isfinite(scores)]
        marks.append(Mark("hollow", number, {"score": there}, np.full(len(there), float(last - number))))
        if arm.score is not None and arm.score.has_interval:
            ends = np.array([arm.score.low, arm.score.high])
            marks.append(Mark("interval", number, {"score": ends}, np.full(2, float(last - number))))
        if arm.score is not None:
            marks.append(Mark("dots", number, {"score": np.array([arm.score.value])}, np.array([float(last - number)])))
    picture = Picture(
        "Test scores of the finals",
        {"score": Axis(f"test {race.metric}")},
        Axis("", ticks=tuple(_label(arm) for arm in reversed(race.arms)), view=(-0.6, last + 0.6)),
        tuple(marks),
        {},
        Table(
            ("arm", "mean", "low", "high", "seeds"),
            tuple((arm.name, *_mean(arm), ", ".join(map(shown_number, _final_scores(arm)))) for arm in race.arms),
        ),
        notes=_notes(race),
    )
    return (picture,)


def _final_scores(arm: ArmData) -> NDArray[np.float64]:
    """The test scores [S] of an arm's best configuration, NaN where a seed is no use."""
    best = arm.entry.finals[0]
    return np.where(best.usable, best.scores, np.nan)


def _notes(race: RaceData) -> tuple[str, ...]:
    if not any(arm.score is not None and arm.score.has_interval for arm in race.arms):
        return ()
    fallen = any(arm.score is not None and not np.isfinite(_final_scores(arm)).all() for arm in race.arms)
    counts = " A seed that diverged counts in the mean, as the untrained model or as worse." if fallen else ""
    return (f"Full dot and line: mean over the seeds and its 95 % interval. Hollow dots: the seeds.{counts}",)


def _label(arm: ArmData) -> str:
    there = np.isfinite(_final_scores(arm))
    fallen = "" if there.all() else f", {(~there).sum()} diverged"
    return f"{shortened(arm.name, _LONGEST_NAME)} (n = {len(there)}{fallen})"


def _mean(arm: ArmData) -> tuple[str, str, str]:
    if arm.score is None:
        return "diverged", "", ""
    value, low, high = map(shown_number, (arm.score.value, arm.score.low, arm.score.high))
    return (value, low, high) if arm.score.has_interval else (value, "", "")


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
    return Leaderboard(tuple(rows[0]), tuple(tuple(row.values()) for row in rows), _legend(race))


def _cells(race: RaceData, rank: int, arm: ArmData) -> Iterator[tuple[str, Cell]]:
    """Heading and cell, from left to right; the headings are the same for every arm."""
    step = arm.entry.step_time
    yield "arm", Cell(arm.name, arm.name)
    yield "rank", Cell(str(rank), rank)
    yield f"test {race.metric}{' (95 % interval)' if race.protocol['seeds'] > 1 else ''}", _score(arm)
    yield "seeds", _seeds(arm)
    for name in race.dimensions:
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
    trials = sum(not trial.usable for trial in arm.entry.trials) if arm.entry.searched else 0
    runs = int((~arm.entry.finals[0].usable).sum())
    return Cell(f"{trials} + {runs}", trials + runs)


def _legend(race: RaceData) -> str:
    p, goal = race.protocol, shown_goal(race)
    sentences = [
        f"{counted(p['trials_per_arm'], 'trial')} an arm; the score is the mean of the best one's runs by validation "
        f"on {counted(p['seeds'], 'fresh seed')}, on the test split.",
        *not_searched([arm.entry for arm in race.arms]),
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
