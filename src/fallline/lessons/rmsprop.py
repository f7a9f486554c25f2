"""RMSprop's rate for each coordinate: in ravines along the axes and across them, and on features in their own units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from fallline import _asked
from fallline._text import listed
from fallline.landscape import Surface, path
from fallline.lessons.followed import CHOOSING, Array, best_of
from fallline.lessons.lesson import Check, Evidence, Lesson, exact, measured
from fallline.lessons.momentum import steps_to_a_tenth, travelled
from fallline.lessons.populations import lane, trained, watched_on_training
from fallline.pages.player import scene_of
from fallline.problems import breast_cancer
from fallline.training import Problem

_UNITS = ("own units", "standard deviations")
_RATES = tuple(10.0**power for power in range(-8, 2))


def shallow_and_steep(
    *,
    lr: float = 0.1,
    alpha: float = 0.9,
    condition: float = 50.0,
    turns: Sequence[float] = (0.0, 45.0),
    units: Sequence[str] = _UNITS,
    steps: int = 100,
    seeds: int = 10,
) -> Evidence:
    """Compare RMSprop with gradient descent at its best rate, by direction, and on measurements in several units.

    Args:
        lr: RMSprop's learning rate in the ravine.
        alpha: Its decay of squares.
        condition: The curvature across the ravine, where that along it is 1.
        turns: By how many degrees the ravine is turned against the axes.
        units: What the tumours' measurements are in, "own units" or "standard deviations".
        steps: In the ravine.
        seeds: Of the tumours.

    Raises:
        ValueError: The curvature is not above 0, or a unit is not known.
    """
    _asked.number("condition", condition, above=0, error=ValueError)
    for unit in units:
        if unit not in _UNITS:
            raise ValueError(f"units must be of {listed(_UNITS)}; got {unit!r}.")
    checks: list[Check] = []
    scenes = []
    for turn in turns:
        surface = _ravine(condition, turn)
        descent = path(surface, "sgd", lr=2 / (1 + condition), steps=steps)
        adapted = path(surface, "rmsprop", lr=lr, alpha=alpha, steps=steps)
        scenes.append(scene_of(surface, [descent, adapted], title="Along and across a ravine"))
        (plain_along, plain_across), (along, across) = (_turned(one.points, turn) for one in (descent, adapted))
        slope_along, slope_across = (np.abs(slopes[:-1]).sum() for slopes in _turned(adapted.gradients, turn))
        numbers = (
            ("what slopes are multiplied by, along over across the ravine",
             (travelled(along) / slope_along) / (travelled(across) / slope_across), 1.0, None),
            ("the way travelled across, over descent's", travelled(across) / travelled(plain_across), None, 1.0),
            ("the steps until a tenth of the way along is left, over descent's",
             steps_to_a_tenth(along) / steps_to_a_tenth(plain_along), None, 1.0),
        )  # fmt: skip
        checks += [
            exact(what, number, above=above, below=below, condition=f"ravine turned by {turn:g}°")
            for what, number, above, below in numbers
        ]
    chosen = {}
    for unit in units:
        check, chosen[unit] = _on_tumours(alpha, unit, seeds, of=len(units))
        checks.append(check)
    tumours = (
        f" Logistic regression on the tumours of breast-cancer, {seeds} seeds, both at the best of {len(_RATES)} rates "
        f"from {_RATES[0]:g} to {_RATES[-1]:g} (the lowest training loss on {CHOOSING} other seeds)."
    )
    return Evidence(
        f"A ravine with curvatures 1 and {condition:g}, exact gradients, RMSprop at η = {lr:g} and α = {alpha:g}, "
        f"descent at its best rate, 2/(1 + {condition:g}).{tumours if units else ''}",
        tuple(checks),
        scenes[0],
        " ".join(
            f"In {unit} the best rate of descent was {descent_rate:g}, that of RMSprop {adapted_rate:g}."
            for unit, (descent_rate, adapted_rate) in chosen.items()
        ),
    )


def _ravine(condition: float, turn: float) -> Surface:
    cosine, sine = math.cos(math.radians(turn)), math.sin(math.radians(turn))

    def height(x: Any, y: Any) -> Any:
        return ((cosine * x + sine * y) ** 2 + condition * (cosine * y - sine * x) ** 2) / 2

    start = (-4 * cosine - 1.5 * sine, -4 * sine + 1.5 * cosine)
    return Surface("ravine", height, view=((-5, 5), (-2.5, 2.5)), start=start, minima=((0, 0),))


def _turned(vectors: Array, turn: float) -> tuple[Array, Array]:
    """The parts [n] along the ravine and across it of vectors [n, 2]."""
    cosine, sine = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    return vectors @ [cosine, sine], vectors @ [-sine, cosine]


def _on_tumours(alpha: float, unit: str, seeds: int, of: int) -> tuple[Check, tuple[float, float]]:
    """The training loss that RMSprop ends at over descent's, and the rates of descent and RMSprop."""
    problem = watched_on_training(_tumours(unit))
    settings = {
        **{f"sgd {rate}": lane("sgd", lr=rate) for rate in _RATES},
        **{f"rmsprop {rate}": lane("rmsprop", lr=rate, alpha=alpha) for rate in _RATES},
    }
    losses = {name: one.valid_loss[:, -1] for name, one in trained(problem, settings, seeds + CHOOSING).items()}
    slow, fast = (best_of({rate: losses[f"{name} {rate}"] for rate in _RATES}) for name in ("sgd", "rmsprop"))
    ratios = losses[f"rmsprop {fast}"][:seeds] / losses[f"sgd {slow}"][:seeds]
    what = "the training loss in the end, over descent's"
    return measured(what, ratios, below=1.0, condition=f"tumours, {unit}", of=of, ratio=True), (slow, fast)


def _tumours(unit: str) -> Problem:
    """The tumours with measurements in a unit, all centred; the weights begin at zero."""
    standard = breast_cancer()
    from sklearn.datasets import load_breast_cancer

    sizes = load_breast_cancer().data.std(0).astype("float32") if unit == _UNITS[0] else 1.0
    train, valid = ((split.inputs * sizes, split.targets) for split in (standard.train, standard.valid))
    return Problem(
        model=_from_zero, loss=standard.loss, train=train, valid=valid, batch=standard.batch, epochs=standard.epochs
    )


def _from_zero() -> nn.Module:
    model = nn.Linear(30, 1)
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    return model


LESSONS = [
    Lesson(
        11,
        "RMSprop scales each direction",
        "RMSprop speeds the shallow direction and calms the steep one.",
        "Tieleman and Hinton, Neural networks for machine learning, lecture 6.5, 2012",
        shallow_and_steep,
        "Take turns=(0, 10, 20, 45): the further the ravine is turned against the axes, the less its directions are "
        "told apart.",
    ),
]
