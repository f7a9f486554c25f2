"""Learning curves: median and interval over the seeds of each arm's best configuration, and every seed behind."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fallline._text import counted
from fallline.pages.charts.picture import Axis, Mark, Picture, Scale, Table, charted, score_scale, shown_number
from fallline.pages.charts.race_data import FEWEST_SEEDS, ArmData, Median, RaceData, median
from fallline.racing.judging import Estimate

Array = NDArray[np.float64]
Quantity = Literal["train_loss", "valid_loss", "valid_metric"]

_ROWS = 20


@dataclass(frozen=True, eq=False)
class ArmCurves:
    """One arm's curves: `steps`, `samples`, `seconds` [P], `values` [S, P], and their median where there are 3 seeds.

    `seconds` are steps times the median time of a step alone, `step_time`. `diverged` counts the seeds that did,
    `broken` the others that lack a number somewhere.
    """

    name: str
    learning_rate: float | None
    x: dict[str, Array]
    values: Array
    median: Median | None
    diverged: NDArray[np.bool_]
    broken: int
    step_time: Estimate


@dataclass(frozen=True, eq=False)
class Curves:
    """The curves of one quantity, the arm to take first."""

    what: str
    higher_is_better: bool
    untrained: float
    arms: tuple[ArmCurves, ...]


def quantities(race: RaceData) -> tuple[Quantity, ...]:
    """What has curves of its own: the metric only where it isn't the loss."""
    return ("train_loss", "valid_loss") if race.metric == "loss" else ("train_loss", "valid_loss", "valid_metric")


def curves(race: RaceData, quantity: Quantity) -> Curves:
    """Compute the curves of one quantity."""
    is_loss = quantity != "valid_metric"
    higher = race.higher_is_better and not is_loss
    what = {"train_loss": "training loss", "valid_loss": "validation loss", "valid_metric": f"validation {race.metric}"}
    untrained = race.untrained_loss if is_loss else race.untrained
    return Curves(what[quantity], higher, untrained, tuple(_arm(arm, quantity, higher) for arm in race.arms))


def _arm(arm: ArmData, quantity: Quantity, higher_is_better: bool) -> ArmCurves:
    runs = arm.runs
    values: Array = getattr(runs, quantity)
    lacking = ~np.isfinite(values).all(axis=1) & ~runs.diverged
    rate = arm.setting("lr")
    steps, samples = runs.steps.astype(np.float64), runs.samples.astype(np.float64)
    return ArmCurves(
        arm.name,
        rate if isinstance(rate, (int, float)) else None,
        {"steps": steps, "samples": samples, "seconds": steps * arm.entry.step_time.value},
        values,
        median(values, higher_is_better=higher_is_better) if len(values) >= FEWEST_SEEDS else None,
        runs.diverged,
        int(lacking.sum()),
        arm.entry.step_time,
    )


@charted("curves", "Curves", before="The configuration that each arm takes, on the seeds of the finals.")
def curves_pictures(race: RaceData) -> tuple[Picture, ...]:
    """One chart of each quantity."""
    return tuple(curves_picture(curves(race, what)) for what in quantities(race))


def curves_picture(found: Curves) -> Picture:
    """Draw curves: medians and bands over faint seeds; fewer than 3 seeds as dots; crosses where runs diverged."""
    every = np.concatenate([arm.values.ravel() for arm in found.arms])
    scale = score_scale(every, found.untrained, higher_is_better=found.higher_is_better)
    late = np.concatenate([arm.values[:, arm.values.shape[1] // 2 :].ravel() for arm in found.arms])
    view = None if scale.logarithmic else scale.cropped(late).view
    early = ("Cropped to what the second half of the runs came to; a double click on the chart shows all.",)
    return Picture(
        f"{found.what[0].upper()}{found.what[1:]}",
        {
            "steps": Axis("steps"),
            "samples": Axis("samples seen"),
            "seconds": Axis("seconds (steps times the time of a step alone)"),
        },
        Axis(found.what, scale.logarithmic, view=view),
        tuple(mark for number, arm in enumerate(found.arms) for mark in _marks(number, arm, scale)),
        {number: _label(arm) for number, arm in enumerate(found.arms)},
        _table(found),
        notes=(
            *_notes(found),
            *(early if view not in (None, scale.view) else ()),
            *_beyond(found, scale),
            *scale.left_out(every),
        ),
    )


def _marks(number: int, arm: ArmCurves, scale: Scale) -> list[Mark]:
    arm = replace(arm, values=scale.shown(arm.values))
    seeds = len(arm.values)
    if arm.median is None:
        x = {name: np.tile(values, seeds) for name, values in arm.x.items()}
        return [Mark("dots", number, x, arm.values.ravel()), *_ends(number, arm)]
    gap = np.full((seeds, 1), np.nan)
    apart = {name: np.hstack([np.tile(values, (seeds, 1)), gap]).ravel() for name, values in arm.x.items()}
    # A band's end that a run without a number holds lies beyond the chart.
    low, high = (np.clip(end, *_widened(arm, scale.view)) for end in (arm.median.low, arm.median.high))
    there = np.isfinite(arm.median.value)
    middle = scale.shown(np.where(there, arm.median.value, np.nan))
    shown = {name: values[there] for name, values in arm.x.items()}
    return [
        Mark("band", number, shown, low[there], high[there]),
        Mark("faint", number, apart, np.hstack([arm.values, gap]).ravel()),
        Mark("line", number, arm.x, middle),
        *_ends(number, arm),
    ]


def _widened(arm: ArmCurves, view: tuple[float, float]) -> tuple[float, float]:
    finite = arm.values[np.isfinite(arm.values)]
    return min(view[0], finite.min(initial=view[0])), max(view[1], finite.max(initial=view[1]))


def _ends(number: int, arm: ArmCurves) -> list[Mark]:
    """A cross where each diverged run was last seen."""
    last = [(run, np.flatnonzero(np.isfinite(arm.values[run]))) for run in np.flatnonzero(arm.diverged)]
    seen = [(run, places[-1]) for run, places in last if len(places)]
    if not seen:
        return []
    x = {name: np.array([values[place] for _, place in seen]) for name, values in arm.x.items()}
    return [Mark("crosses", number, x, np.array([arm.values[run, place] for run, place in seen]))]


def _label(arm: ArmCurves) -> str:
    parts = [] if arm.learning_rate is None else [f"lr {arm.learning_rate:.3g}"]
    parts += [f"n = {len(arm.values)}"]
    parts += [f"{arm.diverged.sum()} diverged"] if arm.diverged.any() else []
    return f"{arm.name} ({', '.join(parts)})"


def _notes(found: Curves) -> tuple[str, ...]:
    first = found.arms[0]
    notes = [_band(len(first.values), first.median)]
    if diverged := _counts({arm.name: arm.diverged.sum() for arm in found.arms}):
        notes.append(f"Runs that diverged rank last in every median and end in a cross: {diverged}.")
    if broken := _counts({arm.name: arm.broken for arm in found.arms}):
        notes.append(f"Runs with values that are not numbers, which rank last there: {broken}.")
    if first.step_time.has_interval:
        notes.append("Seconds are no surer than the time of a step, which the leaderboard tells with its interval.")
    return tuple(notes)


def _beyond(found: Curves, scale: Scale) -> tuple[str, ...]:
    """A note that counts each arm's points that are too bad for the view; a logarithmic axis shows them all."""
    if scale.logarithmic:
        return ()
    low, high = scale.view
    counts = _counts({arm.name: ((arm.values < low) | (arm.values > high)).sum() for arm in found.arms})
    side = "beneath" if found.higher_is_better else "above"
    return (f"Points far worse than the untrained model, which lie {side} the chart: {counts}.",) if counts else ()


def _counts(of_arms: dict[str, int]) -> str:
    """Each arm's count where there is one."""
    return ", ".join(f"{name} {count}" for name, count in of_arms.items() if count)


def _band(seeds: int, middle: Median | None) -> str:
    if middle is None:
        return f"Each run is drawn as dots: {counted(seeds, 'seed')} make no median."
    rank = {1: "", 2: "second ", 3: "third "}.get(middle.rank, f"{middle.rank}th ")
    return (
        f"Lines are medians of {seeds} seeds, never smoothed; bands run from the {rank}worst to the {rank}best seed, "
        f"which covers the true median with {100 * middle.confidence:.0f} % confidence; single runs on demand."
    )


def _table(found: Curves) -> Table:
    """The medians, with the ends of their intervals, at some of the points."""
    headings, rows = ("arm", "steps", "samples", "median", "low", "high", "seeds with a number"), []
    for arm in found.arms:
        here = arm.median or median(arm.values, higher_is_better=found.higher_is_better)
        points = arm.values.shape[1]
        for place in np.unique(np.linspace(0, points - 1, min(points, _ROWS)).round().astype(int)):
            ends = [shown_number(values[place]) for values in (here.value, here.low, here.high)]
            there = int(np.isfinite(arm.values[:, place]).sum())
            rows.append((arm.name, f"{arm.x['steps'][place]:.0f}", f"{arm.x['samples'][place]:.0f}", *ends, str(there)))
    return Table(headings, tuple(rows))
