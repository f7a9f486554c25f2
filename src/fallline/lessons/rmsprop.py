"""RMSprop's rate for each coordinate: in ravines along the axes and across them, and on features in their own units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fallline.landscape import Path, Surface, path
from fallline.lessons.followed import Array
from fallline.lessons.lesson import Check, Evidence, Lesson, exact, measured
from fallline.lessons.populations import lane, trained, watched_on_training
from fallline.pages.player import scene_of
from fallline.problems import breast_cancer
from fallline.training import Problem

_CHOSEN_ON = 2  # seeds apart, which choose each rule's rate
_RATES = tuple(10.0**power for power in range(-8, 2))


def shallow_and_steep(
    *,
    rule: str = "rmsprop",
    lr: float = 0.1,
    alpha: float = 0.9,
    condition: float = 50.0,
    turns: Sequence[float] = (0.0, 45.0),
    units: Sequence[str] = ("own units", "standard deviations"),
    steps: int = 100,
    seeds: int = 10,
) -> Evidence:
    """Compare RMSprop with gradient descent at its best rate, by direction, and on measurements in several units.

    Args:
        rule: What should treat directions differently.
        lr: Its learning rate in the ravine.
        alpha: Its decay of squares.
        condition: The curvature across the ravine, where that along it is 1.
        turns: By how many degrees the ravine is turned against the axes.
        units: What the tumours' measurements are in, "own units" or "standard deviations".
        steps: In the ravine.
        seeds: Of the tumours.
    """
    checks: list[Check] = []
    scenes = []
    for turn in turns:
        surface = _ravine(condition, turn)
        descent = path(surface, "sgd", lr=2 / (1 + condition), steps=steps)
        adapted = path(surface, rule, lr=lr, alpha=alpha, steps=steps)
        scenes.append(scene_of(surface, [descent, adapted], title="Along and across a ravine"))
        (_, wild), (along, gentle) = (_turned(one.points, turn) for one in (descent, adapted))
        slopes = _turned(adapted.gradients, turn)
        factors = [_travelled(way) / np.abs(slope[:-1]).sum() for way, slope in zip((along, gentle), slopes)]
        where = f"ravine turned by {turn:g}°"
        checks += [
            exact("what slopes are multiplied by, along over across", factors[0] / factors[1], above=1, condition=where),
            exact("the way travelled across, over descent's", _travelled(gentle) / _travelled(wild), below=1, condition=where),
            exact("the steps until a tenth of the way along is left, over descent's", _steps(along) / _steps(_turned(descent.points, turn)[0]), below=1, condition=where),
        ]
    chosen = {}
    for unit in units:
        check, chosen[unit] = _on_tumours(rule, alpha, unit, seeds, of=len(units))
        checks.append(check)
    return Evidence(
        f"A ravine with curvatures 1 and {condition:g}, exact gradients, {rule} at η = {lr:g} and α = {alpha:g}, descent at its "
        f"best rate, 2/(1 + {condition:g}); and logistic regression on 569 tumours, {seeds} seeds, both at the best of "
        f"{len(_RATES)} rates from {_RATES[0]:g} to {_RATES[-1]:g} (the lowest training loss on {_CHOSEN_ON} other seeds).",
        tuple(checks),
        scenes[0],
        _remark(chosen),
    )


def _ravine(condition: float, turn: float) -> Surface:
    cosine, sine = math.cos(math.radians(turn)), math.sin(math.radians(turn))

    def height(x: Any, y: Any) -> Any:
        return ((cosine * x + sine * y) ** 2 + condition * (cosine * y - sine * x) ** 2) / 2

    start = (-4 * cosine - 1.5 * sine, -4 * sine + 1.5 * cosine)
    return Surface("ravine", height, view=((-5, 5), (-5, 5)), start=start, minima=((0, 0),))


def _turned(vectors: Array, turn: float) -> tuple[Array, Array]:
    """The parts [n] along the ravine and across it of vectors [n, 2]."""
    cosine, sine = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    return vectors @ [cosine, sine], vectors @ [-sine, cosine]


def _travelled(places: Array) -> float:
    return float(np.abs(np.diff(places)).sum())


def _steps(places: Array) -> int:
    """The step from which on a tenth of the way is left, or less; one more than there are if there is none."""
    return int(np.flatnonzero(~(np.abs(places) <= 0.1 * abs(places[0])))[-1]) + 1


def _on_tumours(rule: str, alpha: float, unit: str, seeds: int, of: int) -> tuple[Check, list[float]]:
    """The training loss that the rule ends at over descent's, and the rates that they took."""
    problem = watched_on_training(_in_units(breast_cancer(), unit))
    ways = {"sgd": {}, rule: {"alpha": alpha}}
    settings = {f"{name} {rate}": lane(name, lr=rate, **given) for name, given in ways.items() for rate in _RATES}
    curves = trained(problem, settings, seeds + _CHOSEN_ON)
    losses = {name: one.valid_loss[:, -1] for name, one in curves.items()}
    best = []
    for name in ways:
        means = [losses[f"{name} {rate}"][-_CHOSEN_ON:].mean() for rate in _RATES]
        best.append(_RATES[int(np.nanargmin(means))])
    descent, adapted = (losses[f"{name} {rate}"][:seeds] for name, rate in zip(ways, best, strict=True))
    what = f"the training loss in the end, {rule}'s over descent's"
    return measured(what, adapted / descent, below=1.0, condition=f"tumours, {unit}", of=of, ratio=True), best


def _in_units(problem: Problem, unit: str) -> Problem:
    """The same problem with measurements in other units than standard deviations, centred as they are."""
    if unit == "standard deviations":
        return problem
    if unit != "own units":
        raise ValueError(f"units must be 'own units' or 'standard deviations'; got {unit!r}.")
    from sklearn.datasets import load_breast_cancer

    deviations = load_breast_cancer().data.std(0).astype("float32")
    parts = {name: (split.inputs * deviations, split.targets) for name, split in problem.splits().items()}
    return Problem(model=problem.model, loss=problem.loss, **parts, batch=problem.batch, epochs=problem.epochs)


def _remark(chosen: dict[str, list[float]]) -> str:
    return " ".join(
        f"In {unit} the best rate of descent was {descent:g}, that of RMSprop {adapted:g}." for unit, (descent, adapted) in chosen.items()
    )


LESSONS = [
    Lesson(
        11,
        "RMSprop scales each direction",
        "RMSprop speeds the shallow direction and calms the steep one.",
        "Tieleman and Hinton, Neural networks for machine learning, lecture 6.5, 2012",
        shallow_and_steep,
        "Take turns=(0, 10, 20, 45): it divides by coordinate, so the more a ravine lies across the axes, the less it "
        "can do.",
    ),
]
