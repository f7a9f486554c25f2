"""What the trials of a race say of what was searched."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fallline._text import counted, listed
from fallline.pages.charts.picture import Axis, Mark, Picture, Scale, Table, charted, score_scale, shown_number
from fallline.pages.charts.race_data import ArmData, RaceData
from fallline.racing.arms import Choice, Dimension, Range

Array = NDArray[np.float64]

_JITTER = 0.6
_CROPPED = "Cropped to the better half of every arm's trials; a double click on the chart shows all."


@dataclass(frozen=True, eq=False)
class ArmTrials:
    """One arm's trials, in the order of the values: `values` [T] (numbers, or places among the options).

    `scores` [T] are NaN where a trial is no use, which `diverged` [T] counts; `short` [T] says which ended on a share
    of the samples. `alone` is whether nothing else was searched, so that neighbours may be joined. Of an arm that is
    `fixed`, of which nothing was searched, they are the finals.
    """

    number: int
    name: str
    values: Array
    scores: Array
    diverged: NDArray[np.bool_]
    short: NDArray[np.bool_]
    alone: bool
    fixed: bool = False


@dataclass(frozen=True, eq=False)
class Searched:
    """Validation scores against the values of dimension `name`; `options` are its names where it has no numbers."""

    race: RaceData
    name: str
    scale: str
    options: tuple[str, ...]
    arms: tuple[ArmTrials, ...]


@charted("sensitivity", "Learning-rate sensitivity", lacking="no learning rate was searched in this race")
def sensitivity_pictures(race: RaceData) -> tuple[Picture, ...]:
    """The scores against the learning rate, where it was searched."""
    return tuple(searched_picture(searched(race, name)) for name in race.dimensions if name == "lr")


@charted(
    "searched", "what else was searched", section="sensitivity",
    lacking="nothing but learning rates was searched in this race",
)  # fmt: skip
def searched_pictures(race: RaceData) -> tuple[Picture, ...]:
    """The scores against whatever else was searched."""
    return tuple(searched_picture(searched(race, name)) for name in race.dimensions if name != "lr")


def searched(race: RaceData, name: str) -> Searched:
    """Gather the trials of all arms that search `name`, and the finals of those of which nothing is searched."""
    found = [(number, arm) for number, arm in enumerate(race.arms) if name in arm.entry.space]
    spaces = [arm.entry.space[name] for _, arm in found]
    options = _options(spaces)
    unsearched = [] if options else [(number, arm) for number, arm in enumerate(race.arms) if not arm.entry.searched]
    at = [(number, arm, arm.setting(name)) for number, arm in unsearched]
    return Searched(
        race,
        name,
        spaces[0].scale if isinstance(spaces[0], Range) else "options",
        options,
        (
            *(_arm(number, arm, name, options) for number, arm in found),
            *(_fixed(number, arm, value) for number, arm, value in at if isinstance(value, (int, float)) and value > 0),
        ),
    )


def _options(spaces: list[Dimension]) -> tuple[str, ...]:
    """The options of all arms, in the order in which they come; none where any arm has a range."""
    if any(isinstance(space, Range) for space in spaces):
        return ()
    options = [option for space in spaces if isinstance(space, Choice) for option in space.options]
    return tuple(dict.fromkeys(str(option) for option in options))


def _arm(number: int, arm: ArmData, name: str, options: tuple[str, ...]) -> ArmTrials:
    trials = arm.entry.trials
    raw = [trial.configuration[name] for trial in trials]
    values = np.array([options.index(str(value)) if options else float(value) for value in raw])
    samples = np.array(arm.trial_samples)
    order = np.argsort(values, kind="stable")
    usable = np.array([trial.usable for trial in trials])
    return ArmTrials(
        number,
        arm.name,
        values[order],
        np.where(usable, [trial.score for trial in trials], np.nan)[order],
        ~usable[order],
        (samples < samples.max())[order],
        len(arm.entry.space) == 1,
    )


def _fixed(number: int, arm: ArmData, value: float) -> ArmTrials:
    scores = arm.runs.valid_metric[:, -1]
    usable = np.isfinite(scores) & ~arm.runs.diverged
    values, short = np.full(len(scores), float(value)), np.zeros(len(scores), np.bool_)
    return ArmTrials(
        number, arm.name, values, np.where(usable, scores, np.nan), ~usable, short, alone=False, fixed=True
    )


def searched_picture(found: Searched) -> Picture:
    """Draw trials: dots, joined where only this was searched, and crosses over them for those that diverged."""
    every = np.concatenate([arm.scores for arm in found.arms])
    whole = score_scale(every, found.race.untrained, higher_is_better=found.race.higher_is_better)
    scale = whole.cropped(np.concatenate([_better_half(arm, found.race) for arm in found.arms]))
    above = any((arm.diverged | _off(arm, found, scale)).any() for arm in found.arms)
    label, metric = "learning rate" if found.name == "lr" else found.name, found.race.metric
    return Picture(
        f"Validation {metric} against {label}",
        {"value": _axis(found, label)},
        Axis(f"validation {metric}", scale.logarithmic, view=scale.high_view if above else scale.view),
        tuple(mark for arm in found.arms for mark in _marks(arm, found, scale)),
        {arm.number: _key(arm) for arm in found.arms},
        _table(found),
        scale.ceiling if above else None,
        (*_notes(found, scale), *((_CROPPED,) if scale is not whole else ()), *scale.left_out(every)),
    )


def _better_half(arm: ArmTrials, race: RaceData) -> Array:
    there = np.sort(arm.scores[np.isfinite(arm.scores)])
    half = -(-len(there) // 2)
    return there[len(there) - half :] if race.higher_is_better else there[:half]


def _axis(found: Searched, label: str) -> Axis:
    if found.options:
        return Axis(label, ticks=found.options)
    if found.scale == "complement":
        return Axis(f"1 - {label}", logarithmic=True)
    return Axis(label, logarithmic=found.scale == "log")


def _marks(arm: ArmTrials, found: Searched, scale: Scale) -> list[Mark]:
    x = arm.values
    if found.options:
        x = x + _JITTER * ((arm.number + 0.5) / (max(one.number for one in found.arms) + 1) - 0.5)
    elif found.scale == "complement":
        x = 1 - x
    off = _off(arm, found, scale)
    on = ~off & ~arm.diverged
    marks, scores = [], scale.shown(arm.scores)
    if arm.alone and not found.options:
        marks.append(Mark("line", arm.number, {"value": x}, np.where(on & ~arm.short, scores, np.nan)))
    groups = (
        ("dots", on & ~arm.short, scores),
        ("hollow", on & arm.short, scores),
        ("hollow", off, np.full_like(x, scale.ceiling)),
        ("crosses", arm.diverged, np.full_like(x, scale.ceiling)),
    )
    marks += [Mark(kind, arm.number, {"value": x[which]}, y[which]) for kind, which, y in groups if which.any()]  # type: ignore[arg-type]
    return marks


def _off(arm: ArmTrials, found: Searched, scale: Scale) -> NDArray[np.bool_]:
    """Which trials are usable and yet too bad for the scale."""
    worse = arm.scores < scale.limit if found.race.higher_is_better else arm.scores > scale.limit
    return np.asarray(worse & ~arm.diverged)


def _key(arm: ArmTrials) -> str:
    parts = [counted(len(arm.values), "final" if arm.fixed else "trial")]
    parts += [f"{arm.diverged.sum()} diverged"] if arm.diverged.any() else []
    return f"{arm.name} ({', '.join(parts)})"


def _notes(found: Searched, scale: Scale) -> tuple[str, ...]:
    notes = ["Every dot is one trial, on one seed."]
    if fixed := [arm.name for arm in found.arms if arm.fixed]:
        notes.append(f"Of {listed(fixed)}, of which nothing was searched, every dot is one of the finals.")
    diverged = sum(int(arm.diverged.sum()) for arm in found.arms)
    off = sum(int(_off(arm, found, scale).sum()) for arm in found.arms)
    short = sum(int(arm.short.sum()) for arm in found.arms)
    if diverged:
        notes.append(f"Crosses on the line at the top: {counted(diverged, 'run')} that diverged.")
    if off:
        notes.append(f"Hollow dots there: {off} that ended far worse than the untrained model.")
    if short:
        notes.append(f"Hollow dots elsewhere: {short} that were stopped on a share of the samples, so they look worse.")
    shown = {arm.name for arm in found.arms}
    without = [arm.name for arm in found.race.arms if arm.name not in shown]
    if without:
        notes.append(f"Not searched by {listed(without)}.")
    return tuple(notes)


def _table(found: Searched) -> Table:
    rows = [
        (
            arm.name,
            found.options[int(value)] if found.options else f"{value:.4g}",
            "diverged" if fallen else shown_number(score),
            "a share" if short else "all",
        )
        for arm in found.arms
        for value, score, fallen, short in zip(arm.values, arm.scores, arm.diverged, arm.short, strict=True)
    ]
    return Table(("arm", found.name, f"validation {found.race.metric}", "of the samples"), tuple(rows))
