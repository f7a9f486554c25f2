"""Surfaces with one minimum: long valleys, steep across and nearly level along, and hollows in nearly level ground."""

from __future__ import annotations

from math import pi
from typing import Any

from fallline.landscape.calculus import cos, exp
from fallline.landscape.surface import Demonstration, Surface

CONDITION = 50.0


def _ravine(x: Any, y: Any) -> Any:
    return (x**2 + CONDITION * y**2) / 2


def _rosenbrock(x: Any, y: Any) -> Any:
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def _beale(x: Any, y: Any) -> Any:
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


ravine = Surface(
    name="ravine",
    function=_ravine,
    view=((-5, 5), (-2.5, 2.5)),
    minima=((0, 0),),
    start=(-4, 1.5),
    steps=150,
    teaches="The steepest direction limits the learning rate of gradient descent to 2/curvature, and the level one "
    "then takes long; momentum goes along it faster.",
    demonstrations=(
        Demonstration("sgd", 0.0392, "reached", (0, 0), 111),
        Demonstration("sgd", 0.041, "left"),
        Demonstration("momentum", 0.01, "reached", (0, 0), 84),
        Demonstration("nesterov", 0.01, "reached", (0, 0), 78),
        Demonstration("adagrad", 0.5, "reached", (0, 0), 84),
        Demonstration("adam", 0.2, "reached", (0, 0), 77),
    ),
)

#: Rosenbrock, 1960.
rosenbrock = Surface(
    name="rosenbrock",
    function=_rosenbrock,
    view=((-2, 2), (-1, 3)),
    minima=((1, 1),),
    start=(-1.5, 2),
    steps=1000,
    teaches="A valley that bends: it is soon found, and then followed slowly by whatever has no momentum.",
    demonstrations=(
        Demonstration("sgd", 0.002, "reached", (1, 1), 524),
        Demonstration("sgd", 0.0022, "left"),
        Demonstration("momentum", 0.001, "reached", (1, 1), 743),
        Demonstration("nesterov", 0.001, "reached", (1, 1), 635),
        Demonstration("adam", 0.1, "reached", (1, 1), 677),
    ),
)

#: Beale, 1958.
beale = Surface(
    name="beale",
    function=_beale,
    view=((-4.5, 4.5), (-4.5, 4.5)),
    minima=((3, 0.5),),
    start=(1, 1.5),
    steps=400,
    teaches="Cliffs at the corners and a level floor: one learning rate is too long for the ones and too short for "
    "the other.",
    demonstrations=(
        Demonstration("sgd", 0.03, "reached", (3, 0.5), 238),
        Demonstration("sgd", 0.05, "left"),
        Demonstration("momentum", 0.003, "reached", (3, 0.5), 118),
        Demonstration("nesterov", 0.003, "reached", (3, 0.5), 113),
        Demonstration("adagrad", 1.0, "reached", (3, 0.5), 314),
        Demonstration("rmsprop", 0.02, "reached", (3, 0.5), 228, hyperparameters={"alpha": 0.9}),
        Demonstration("adam", 0.3, "reached", (3, 0.5), 117),
    ),
)


def _plateau(x: Any, y: Any) -> Any:
    return 1 - exp(-(x**2 + y**2 / 2) / 2) + 0.002 * (x**2 + y**2)


def _easom(x: Any, y: Any) -> Any:
    return -cos(x) * cos(y) * exp(-((x - pi) ** 2) - (y - pi) ** 2)


plateau = Surface(
    name="plateau",
    function=_plateau,
    view=((-4, 4), (-4, 4)),
    minima=((0, 0),),
    start=(3.6, -2.4),
    steps=400,
    teaches="Far from the hollow the gradient is tiny: what scales its step by the gradients seen so far crosses the "
    "plateau first.",
    demonstrations=(
        Demonstration("sgd", 0.3, "reached", (0, 0), 214),
        Demonstration("momentum", 0.3, "reached", (0, 0), 95),
        Demonstration("nesterov", 0.3, "reached", (0, 0), 59),
        Demonstration("adagrad", 0.3, "reached", (0, 0), 28),
        Demonstration("rmsprop", 0.02, "reached", (0, 0), 157, hyperparameters={"alpha": 0.9}),
        Demonstration("adam", 0.05, "reached", (0, 0), 99),
    ),
)

_FAR = (pi - 2.2, pi - 1.6)

#: Easom, 1990.
easom = Surface(
    name="easom",
    function=_easom,
    view=((0, 2 * pi), (0, 2 * pi)),
    minima=((pi, pi),),
    start=(pi - 1.45, pi - 1.3),
    steps=300,
    teaches="A hollow in a plain: from near by every method finds it, from a little further away none does.",
    demonstrations=(
        Demonstration("sgd", 0.3, "reached", (pi, pi), 61),
        Demonstration("nesterov", 0.1, "reached", (pi, pi), 47),
        Demonstration("rmsprop", 0.01, "reached", (pi, pi), 115, hyperparameters={"alpha": 0.9}),
        Demonstration("adam", 0.05, "reached", (pi, pi), 60),
        Demonstration("sgd", 0.3, "moving", start=_FAR),
        Demonstration("nesterov", 0.1, "moving", start=_FAR),
        Demonstration("rmsprop", 0.01, "trapped", (1.304995, 1.304995), start=_FAR, hyperparameters={"alpha": 0.9}),
        Demonstration("adam", 0.05, "trapped", (1.304995, 1.304995), start=_FAR),
    ),
)
