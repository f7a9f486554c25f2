"""Nearly level ground around a hollow, where the gradient all but vanishes."""

from __future__ import annotations

from math import pi
from typing import Any

from fallline.landscape.elementary import cos, exp
from fallline.landscape.surface import Demonstration, Surface


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
