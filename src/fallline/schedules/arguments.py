"""Single arguments of a schedule, checked."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any


def as_count(name: str, value: Any, least: int = 1) -> int:
    """Return a whole number from `least`; raises TypeError or ValueError.

    >>> as_count("steps", 3)
    3
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number from {least}; got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be a whole number from {least}; got {value}")
    return int(value)


def as_number(name: str, value: Any, above: float | None = None, most: float = math.inf) -> float:
    """Return a finite number from 0 to `most`, or one greater than `above`; raises TypeError or ValueError.

    >>> as_number("rate", 1)
    1.0
    """
    start = "at least 0" if above is None else f"greater than {above:g}"
    wanted = f"a finite number, {start}" + ("" if most == math.inf else f" and at most {most:g}")
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be {wanted}; got {value!r}")
    number = float(value)
    if not math.isfinite(number) or number > most or (number < 0 if above is None else number <= above):
        raise ValueError(f"{name} must be {wanted}; got {value}")
    return number
