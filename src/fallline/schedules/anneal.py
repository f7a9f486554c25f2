"""Laws that come down over a given number of steps and stay there. At step `steps` the end is reached.

A run of `steps` updates uses the steps 0 to steps - 1, so its last update comes just before the end.
"""

from __future__ import annotations

import math

from fallline.schedules.arguments import as_count, as_number
from fallline.schedules.schedule import Schedule


def polynomial(steps: int, power: float = 2.0, end: float = 0.0) -> Schedule:
    """Return end + (1 - end)·(1 - t/steps)**power. torch calls it PolynomialLR, with an end of 0.

    Raises TypeError or ValueError unless `steps` is a whole number from 1, `power` greater than 0, `end` from 0 to 1.

    >>> [polynomial(4)(step) for step in (0, 2, 4, 9)]
    [1.0, 0.25, 0.0, 0.0]
    """
    length = as_count("steps", steps)
    power, end = as_number("power", power, above=0), as_number("end", end, most=1)
    return Schedule(_polynomial, (length, power, end), length)


def linear(steps: int, end: float = 0.0) -> Schedule:
    """Return the straight line from 1 to `end`. torch calls it LinearLR, from a start factor of 1.

    Raises TypeError or ValueError unless `steps` is a whole number from 1 and `end` from 0 to 1.

    >>> [linear(4)(step) for step in (0, 1, 4, 9)]
    [1.0, 0.75, 0.0, 0.0]
    """
    return polynomial(steps, 1.0, end)


def cosine(steps: int, floor: float = 0.0) -> Schedule:
    """Return floor + (1 - floor)·(1 + cos(π·t/steps))/2 (Loshchilov and Hutter, *SGDR*, 2017), without restarts.

    torch's CosineAnnealingLR is the same until step `steps`; after it torch's rises again, and this one stays.

    Raises TypeError or ValueError unless `steps` is a whole number from 1 and `floor` from 0 to 1.

    >>> [round(cosine(4, floor=0.1)(step), 3) for step in (0, 2, 4, 9)]
    [1.0, 0.55, 0.1, 0.1]
    """
    length = as_count("steps", steps)
    return Schedule(_cosine, (length, as_number("floor", floor, most=1)), length)


def cosine_between(start: float, end: float, part: float) -> float:
    """Return the point at `part` (0 to 1) of the half wave from `start` to `end`.

    >>> cosine_between(1.0, 0.0, 0.5)
    0.5
    """
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2


def _polynomial(step: int, steps: int, power: float, end: float) -> float:
    return end + (1 - end) * float((1 - min(step, steps) / steps) ** power)


def _cosine(step: int, steps: int, floor: float) -> float:
    return cosine_between(1.0, floor, min(step, steps) / steps)
