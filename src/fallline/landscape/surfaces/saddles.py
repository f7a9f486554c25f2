"""Saddles, bounded below: as textbooks draw them they run to minus infinity."""

from __future__ import annotations

import math
from typing import Any

from fallline.landscape.surface import Demonstration, Surface


def _saddle(x: Any, y: Any) -> Any:
    return x**2 - y**2 + y**4 / 4


def _monkey_saddle(x: Any, y: Any) -> Any:
    return x**3 - 3 * x * y**2 + (x**2 + y**2) ** 2 / 2


saddle = Surface(
    name="saddle",
    function=_saddle,
    view=((-2, 2), (-2, 2)),
    minima=((0, math.sqrt(2)), (0, -math.sqrt(2))),
    start=(1.5, 0.001),
    steps=200,
    teaches="Beside the ridge of a saddle the gradient hardly points down; what divides by the gradient's size leaves "
    "it soonest.",
    demonstrations=(
        Demonstration("sgd", 0.03, "reached", (0, math.sqrt(2)), 145),
        Demonstration("momentum", 0.01, "reached", (0, math.sqrt(2)), 106),
        Demonstration("adagrad", 0.3, "reached", (0, math.sqrt(2)), 28),
        Demonstration("rmsprop", 0.01, "reached", (0, math.sqrt(2)), 162, hyperparameters={"alpha": 0.9}),
        Demonstration("adam", 0.05, "reached", (0, math.sqrt(2)), 69),
    ),
)

_UPPER = (0.75, 0.75 * math.sqrt(3))

monkey_saddle = Surface(
    name="monkey-saddle",
    function=_monkey_saddle,
    view=((-2, 2), (-2, 2)),
    minima=((-1.5, 0), _UPPER, (0.75, -0.75 * math.sqrt(3))),
    start=(0.9, 0.02),
    steps=300,
    teaches="Three valleys meet where gradient and curvature vanish; which one is taken depends on the method.",
    demonstrations=(
        Demonstration("sgd", 0.05, "reached", _UPPER, 74),
        Demonstration("momentum", 0.01, "reached", (-1.5, 0), 63),
        Demonstration("adam", 0.05, "reached", _UPPER, 64),
    ),
)
