"""A sharp hollow and a flat one, along a line."""

from __future__ import annotations

from typing import Any

from fallline.landscape.elementary import exp
from fallline.landscape.surface import Demonstration, Surface


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
