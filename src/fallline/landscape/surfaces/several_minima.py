"""Surfaces with saddles or several minima: where a path ends depends on the method, its learning rate and the start.

Saddles are bounded below; as textbooks draw them they run to minus infinity.
"""

from __future__ import annotations

import math
from math import pi
from typing import Any

from fallline.landscape.calculus import cos, exp, log
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


def _three_hump_camel(x: Any, y: Any) -> Any:
    return 2 * x**2 - 1.05 * x**4 + x**6 / 6 + x * y + y**2


def _styblinski_tang(x: Any, y: Any) -> Any:
    return (x**4 - 16 * x**2 + 5 * x + y**4 - 16 * y**2 + 5 * y) / 2


def _himmelblau(x: Any, y: Any) -> Any:
    return (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2


def _goldstein_price(x: Any, y: Any) -> Any:
    first = 1 + (x + y + 1) ** 2 * (19 - 14 * x + 3 * x**2 - 14 * y + 6 * x * y + 3 * y**2)
    second = 30 + (2 * x - 3 * y) ** 2 * (18 - 32 * x + 12 * x**2 + 48 * y - 36 * x * y + 27 * y**2)
    return log(first * second)


def _rastrigin(x: Any, y: Any) -> Any:
    return 20 + x**2 - 10 * cos(2 * pi * x) + y**2 - 10 * cos(2 * pi * y)


three_hump_camel = Surface(
    name="three-hump-camel",
    function=_three_hump_camel,
    view=((-2.5, 2.5), (-2.5, 2.5)),
    minima=((0, 0),),
    start=(2.2, -1.2),
    steps=200,
    teaches="Three hollows in a row: small steps stay in the first, momentum or a longer step goes on to the deepest.",
    demonstrations=(
        Demonstration("sgd", 0.02, "trapped", (1.747552, -0.873776)),
        Demonstration("adam", 0.1, "trapped", (1.747552, -0.873776)),
        Demonstration("momentum", 0.01, "reached", (0, 0), 71),
        Demonstration("adam", 0.3, "reached", (0, 0), 67),
    ),
)

_DEEPEST = (-2.903534027771177, -2.903534027771177)

#: Styblinski and Tang, 1990.
styblinski_tang = Surface(
    name="styblinski-tang",
    function=_styblinski_tang,
    view=((-5, 5), (-5, 5)),
    minima=(_DEEPEST,),
    start=(4.5, 4),
    steps=200,
    teaches="Four hollows of different depth: momentum carries over the ridges between them.",
    demonstrations=(
        Demonstration("sgd", 0.005, "trapped", (2.746803, 2.746803)),
        Demonstration("adam", 0.2, "trapped", (2.746803, 2.746803)),
        Demonstration("momentum", 0.02, "reached", _DEEPEST, 79),
    ),
)

_SECOND, _THIRD = (-2.805118086952745, 3.131312518250573), (-3.779310253377747, -3.283185991286170)

#: Himmelblau, 1972.
himmelblau = Surface(
    name="himmelblau",
    function=_himmelblau,
    view=((-6, 6), (-6, 6)),
    minima=((3, 2), _SECOND, _THIRD, (3.584428340330492, -1.848126526964404)),
    start=(-0.5, -4),
    steps=200,
    teaches="Four minima, all equally deep: which one is found says nothing of the method's quality.",
    demonstrations=(
        Demonstration("sgd", 0.005, "reached", _THIRD),
        Demonstration("nesterov", 0.003, "reached", _THIRD),
        Demonstration("rmsprop", 0.05, "reached", _THIRD, hyperparameters={"alpha": 0.9}),
        Demonstration("adam", 0.1, "reached", _THIRD),
        Demonstration("momentum", 0.003, "reached", _SECOND),
    ),
)

#: Goldstein and Price, 1971; its logarithm, which has the same minima.
goldstein_price = Surface(
    name="goldstein-price",
    function=_goldstein_price,
    view=((-2, 2), (-2, 2)),
    minima=((0, -1),),
    start=(-1, 0.8),
    steps=300,
    teaches="Narrow valleys that cross: gradient descent stops in the first, whatever has momentum leaves it again.",
    demonstrations=(
        Demonstration("sgd", 0.003, "trapped", (-0.6, -0.4)),
        Demonstration("momentum", 0.003, "reached", (0, -1), 52),
        Demonstration("nesterov", 0.003, "reached", (0, -1), 35),
        Demonstration("adam", 0.1, "reached", (0, -1), 60),
    ),
)

#: Rastrigin, 1974.
rastrigin = Surface(
    name="rastrigin",
    function=_rastrigin,
    view=((-5.12, 5.12), (-5.12, 5.12)),
    minima=((0, 0),),
    start=(-2, 3.5),
    steps=300,
    teaches="A bowl full of dents: every method ends in one of them, a longer step in one that is nearer the centre.",
    demonstrations=(
        Demonstration("sgd", 0.001, "trapped", (-1.9899, 2.9849)),
        Demonstration("adam", 0.1, "trapped", (-1.9899, 2.9849)),
        Demonstration("adam", 0.5, "trapped", (0, 1.9899)),
        Demonstration("momentum", 0.004, "trapped", (-1.9899, 1.9899)),
    ),
)


def _sharp_and_flat(x: Any, y: Any) -> Any:
    return 1.2 - exp(-((x + 2) ** 2) / (2 * 0.15**2)) - 0.95 * exp(-((x - 1.5) ** 2) / 2) + 0.01 * x**2


_SHARP, _FLAT = (-1.998936239843634, 0), (1.469057661297642, 0)

sharp_and_flat = Surface(
    name="sharp-and-flat",
    function=_sharp_and_flat,
    view=((-5, 5), (-1, 1)),
    minima=(_SHARP, _FLAT),
    start=(-2.3, 0),
    steps=500,
    teaches="A step longer than 2/curvature can't stay in a sharp hollow: large learning rates end in flat ones.",
    demonstrations=(
        Demonstration("sgd", 0.02, "reached", _SHARP),
        Demonstration("sgd", 0.04, "reached", _SHARP),
        Demonstration("sgd", 0.05, "moving"),
        Demonstration("sgd", 0.1, "moving"),
        Demonstration("sgd", 0.3, "reached", _FLAT),
    ),
    dimensions=1,
)
