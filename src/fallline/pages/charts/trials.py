"""What the trials of a race say: of what was searched, and of how good the best of k is to be expected."""

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


@dataclass(frozen=True, eq=False)
class ArmTrials:
    """One arm's trials, in the order of the values: `values` [T] (numbers, or places among the options).

    `scores` [T] are NaN where a trial is no use, which `diverged` [T] counts; `short` [T] says which ended on a share
    of the samples. `alone` is whether nothing else was searched, so that neighbours may be joined.
    """

    number: int
    name: str
    values: Array
    scores: Array
    diverged: NDArray[np.bool_]
    short: NDArray[np.bool_]
    alone: bool


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
    "budget", "Budget", lacking="nothing was searched in this race",
    after="A race records no norms of gradients and updates, so none are shown.",
)  # fmt: skip
def budget_pictures(race: RaceData) -> tuple[Picture, ...]:
    """The best score to expect of k trials: one line for each arm."""
    numbers = {arm.name: number for number, arm in enumerate(race.arms) if arm.entry.searched}
    curves = {name: race.arms[number].budget for name, number in numbers.items()}
    if not curves:
        return ()
    every = np.concatenate(list(curves.values()))
    scale = score_scale(every, race.untrained, higher_is_better=race.higher_is_better)
    trials = max(len(curve) for curve in curves.values())
    picture = Picture(
        "Expected best of k trials",
        {"trials": Axis("trials")},
        Axis(f"validation {race.metric} of the best", scale.logarithmic),
        tuple(
            Mark("line", numbers[name], {"trials": np.arange(1.0, len(curve) + 1)}, scale.shown(curve))
            for name, curve in curves.items()
        ),
        {number: name for name, number in numbers.items()},
        Table(
            ("trials", *curves),
            tuple(
                (str(k + 1), *(shown_number(curve[k]) if k < len(curve) else "" for curve in curves.values()))
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
    return (picture,)


@charted(
    "searched", "what else was searched", section="budget",
    lacking="nothing but learning rates was searched in this race",
)  # fmt: skip
def searched_pictures(race: RaceData) -> tuple[Picture, ...]:
    """The scores against whatever else was searched."""
    return tuple(searched_picture(searched(race, name)) for name in race.dimensions if name != "lr")


def searched(race: RaceData, name: str) -> Searched:
    """Gather the trials of all arms that search `name`."""
    found = [(number, arm) for number, arm in enumerate(race.arms) if name in arm.entry.space]
    spaces = [arm.entry.space[name] for _, arm in found]
    options = _options(spaces)
    return Searched(
        race,
        name,
        spaces[0].scale if isinstance(spaces[0], Range) else "options",
        options,
        tuple(_arm(number, arm, name, options) for number, arm in found),
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


def searched_picture(found: Searched) -> Picture:
    """Draw trials: dots, joined where only this was searched, and crosses over them for those that diverged."""
    every = np.concatenate([arm.scores for arm in found.arms])
    scale = score_scale(every, found.race.untrained, higher_is_better=found.race.higher_is_better)
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
        (*_notes(found, scale), *scale.left_out(every)),
    )


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
    count = counted(len(arm.values), "trial")
    return f"{arm.name} ({count}, {arm.diverged.sum()} diverged)" if arm.diverged.any() else f"{arm.name} ({count})"


def _notes(found: Searched, scale: Scale) -> tuple[str, ...]:
    notes = ["Every dot is one trial, on one seed."]
    diverged = sum(int(arm.diverged.sum()) for arm in found.arms)
    off = sum(int(_off(arm, found, scale).sum()) for arm in found.arms)
    short = sum(int(arm.short.sum()) for arm in found.arms)
    if diverged:
        notes.append(f"Crosses on the line at the top: {counted(diverged, 'trial')} that diverged.")
    if off:
        notes.append(f"Hollow dots there: {off} that ended far worse than the untrained model.")
    if short:
        notes.append(f"Hollow dots elsewhere: {short} that were stopped on a share of the samples, so they look worse.")
    without = [arm.name for arm in found.race.arms if found.name not in arm.entry.space]
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
