"""The leaderboard: what each arm reached, at what cost, and where its best settings lie; and the finals as a chart."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fallline._text import counted, duration, duration_range, shortened
from fallline.pages.charts.decision import distances, speed_of
from fallline.pages.charts.picture import Axis, Mark, Picture, Table, charted, shown_number
from fallline.pages.charts.race_data import ArmData, RaceData
from fallline.racing import Reached
from fallline.racing.judging import edge_of
from fallline.racing.output import diverged_legend, not_searched, time_legend

_LONGEST_NAME = 20
_EDGE = "at the edge"
_STANDINGS = ("take", "not told apart", "not compared", "behind")


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
    """Headings, the rows, the arm to take first, and what the columns mean."""

    headings: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    legend: str


def leaderboard(race: RaceData) -> Leaderboard:
    """Gather the leaderboard of a race."""
    rows = [dict(_cells(race, arm)) for arm in race.arms]
    legend = _legend(race)
    if any(cell.remark == _EDGE for row in rows for cell in row.values()):
        legend += " At the edge: the best may lie outside what was searched."
    return Leaderboard(tuple(rows[0]), tuple(tuple(row.values()) for row in rows), legend)


def _cells(race: RaceData, arm: ArmData) -> Iterator[tuple[str, Cell]]:
    """Heading and cell, from left to right; the headings are the same for every arm."""
    step = arm.entry.step_time
    yield "arm", Cell(arm.name, arm.name)
    standing = _standing(race, arm)
    yield "standing", Cell(standing, _STANDINGS.index(standing))
    yield f"test {race.metric}{' (95 % interval)' if race.protocol['seeds'] > 1 else ''}", _score(arm)
    ends = distances(race)
    if any(one is not None for one in ends.values()):
        yield f"{'below' if race.higher_is_better else 'above'} the best", _span(ends.get(arm.name))
    for name in race.dimensions:
        yield f"best {name}", _best(arm, name, higher_is_better=race.higher_is_better)
    goal = shown_goal(race)
    if (ratios := _ratios(race)) is not None:
        for what, found in ratios.items():
            yield f"{what}, over those of {race.taken}" if what == "steps" else f"{what}, likewise", _ratio(found, arm)
    elif goal is not None:
        reached = arm.reached[goal]
        what = f"{reached.goal:.3g}"
        yield f"steps to {what}", _effort(reached, reached.steps)
        if any("batch" in one.entry.space for one in race.arms):
            yield f"samples to {what}", _effort(reached, reached.samples)
        time = None if reached.steps is None else step.times(reached.steps)
        yield f"time to {what}", Cell("missed", None) if time is None else Cell(duration(time), time.value)
    yield "time a step", Cell(duration_range(step), step.value)
    moved = arm.entry.bytes_per_parameter
    yield "bytes per parameter", Cell("", None) if math.isnan(moved) else Cell(f"{moved:.0f}", moved)
    if _some_diverged(race):
        yield "diverged", _diverged(arm)


def _some_diverged(race: RaceData) -> bool:
    return any(_diverged(arm).value for arm in race.arms)


def shown_goal(race: RaceData) -> int | None:
    """Which of the goals, that get harder and harder, the table shows: the last that half of the arms reached."""
    if not race.arms[0].reached:
        return None
    goals = zip(*(arm.reached for arm in race.arms), strict=True)
    there = [sum(one.steps is not None for one in goal) for goal in goals]
    return max((place for place, count in enumerate(there) if 2 * count >= len(race.arms)), default=0)


def _standing(race: RaceData, arm: ArmData) -> str:
    if arm.name == race.taken:
        return "take"
    if arm.name in race.decision["behind"]:
        return "behind"
    return "not compared" if arm.name in race.decision["apart"] else "not told apart"


def _score(arm: ArmData) -> Cell:
    if arm.score is None or arm.entry.diverged:
        return Cell("diverged", None)
    value, low, high = (f"{end:#.4g}" for end in (arm.score.value, arm.score.low, arm.score.high))
    return Cell(f"{value} ({low} to {high})" if arm.score.has_interval else value, arm.score.value)


def _span(ends: tuple[float, float] | None) -> Cell:
    """Between which two a distance is; sorted by the greater one."""
    if ends is None:
        return Cell("", None)
    low, high = ends
    return Cell(f"at least {low:.2g}", None) if math.isinf(high) else Cell(f"{low:.2g} to {high:.2g}", high)


def _ratios(race: RaceData) -> dict[str, Any] | None:
    """The ratios of steps, and of time where they are told; None where a target or nothing says to what level."""
    if race.protocol.get("target") is not None or not race.decision["speed"]:
        return None
    seconds = race.decision.get("speed_seconds")
    return {"steps": race.decision["speed"], **({"time": seconds} if seconds else {})}


def _ratio(found: Any, arm: ArmData) -> Cell:
    ratio, low, high = speed_of(found, arm.name)
    if math.isnan(low):
        return Cell("", None)
    if math.isinf(high):
        return Cell(f"over {low:.2f}" if low > 0 else "missed", None)
    return Cell("1" if low == high == 1 else f"{low:.2f} to {high:.2f}", ratio if math.isfinite(ratio) else None)


def _best(arm: ArmData, name: str, *, higher_is_better: bool) -> Cell:
    """The value that it takes, and whether that is fixed or sits at the edge of what was searched."""
    value = None if arm.best is None else arm.setting(name)
    if value is None:
        return Cell("", None)
    remark = "fixed"
    if name in arm.entry.space:
        remark = _EDGE if edge_of(arm.entry, name, higher_is_better=higher_is_better) else ""
    if isinstance(value, (int, float)):
        return Cell(f"{value:.3g}", value, remark)
    return Cell(str(value), str(value), remark)


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
    best = "the best one" if p["finalists"] == 1 else f"the {p['finalists']} best"
    sentences = [
        f"{counted(p['trials_per_arm'], 'trial')} an arm, {best} by validation run again on "
        f"{counted(p['seeds'], 'fresh seed')}; of these the arm takes the best by mean validation, whose mean on the "
        "test split is the score.",
        *not_searched([arm.entry for arm in race.arms]),
    ]
    if sum(_standing(race, arm) == "not told apart" for arm in race.arms) > 1:
        sentences.append("Among arms that are not told apart the order of rows is no ranking.")
    if any(one is not None for one in distances(race).values()):
        side = "Below" if race.higher_is_better else "Above"
        sentences.append(f"{side} the best: between which two the arm is, for all arms together.")
    if _ratios(race) is not None:
        level = race.decision.get("speed_level")
        to = "" if level is None else f" to a validation loss of {level:.3g}"
        sentences.append(f"Steps and time{to}: ratios, likewise.")
    elif goal is not None:
        what = f"a validation {race.metric}" if p.get("target") is not None else "a validation loss"
        sentences.append(
            f"Steps and time are those to {what} of {race.arms[0].reached[goal].goal:.3g} at the median seed; "
            "missed: by half the seeds or more. Time is steps times the time of a step."
        )
    sentences.append(time_legend([arm.entry for arm in race.arms]))
    sentences.append("Bytes: what a step moves to and from memory.")
    if _some_diverged(race):
        sentences.append(diverged_legend())
    return " ".join(sentences)
