"""The surfaces to look at descent on, by name; each with learning rates that make its point.

>>> from fallline.landscape import surfaces
>>> surfaces.ravine.start, float(surfaces.ravine(0.0, 1.0))
((-4, 1.5), 25.0)
"""

from __future__ import annotations

from fallline._asked import did_you_mean
from fallline.landscape.surface import Demonstration, Surface
from fallline.landscape.surfaces.one_minimum import beale, easom, plateau, ravine, rosenbrock
from fallline.landscape.surfaces.several_minima import (
    goldstein_price,
    himmelblau,
    monkey_saddle,
    rastrigin,
    saddle,
    sharp_and_flat,
    styblinski_tang,
    three_hump_camel,
)

__all__ = [
    "ALL",
    "Demonstration",
    "Surface",
    "beale",
    "easom",
    "find",
    "goldstein_price",
    "himmelblau",
    "monkey_saddle",
    "plateau",
    "rastrigin",
    "ravine",
    "rosenbrock",
    "saddle",
    "sharp_and_flat",
    "styblinski_tang",
    "three_hump_camel",
]

#: The surfaces by name, from the simplest on.
ALL: dict[str, Surface] = {
    surface.name: surface
    for surface in (
        ravine, rosenbrock, beale, saddle, monkey_saddle, plateau, easom, three_hump_camel, styblinski_tang, himmelblau,
        goldstein_price, rastrigin, sharp_and_flat,
    )
}  # fmt: skip


def find(name: str) -> Surface:
    """Find a surface by its name.

    Args:
        name: The name; capital letters, hyphens and underscores do not matter.

    Raises:
        LookupError: There is none of the name; the sentence tells the nearest.

    >>> find("Three-Hump-Camel").minima
    ((0, 0),)
    """
    key = name.strip().lower().replace("_", "-").replace(" ", "-")
    if key not in ALL:
        raise LookupError(f"there is no surface '{name}'; {did_you_mean(key, ALL)}")
    return ALL[key]
