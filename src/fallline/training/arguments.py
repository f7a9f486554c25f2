"""Single arguments of a problem, checked."""

from __future__ import annotations

import math
from numbers import Integral, Real

from fallline.training.errors import ProblemError


def as_callable(name: str, value: object, remedy: str) -> None:
    """Refuse what can't be called."""
    if not callable(value):
        raise ProblemError(f"{name}: got {type(value).__name__}, which can't be called; {remedy}.")


def as_count(name: str, value: object, most: int | None = None, meaning: str = "") -> int:
    """Return a whole number from 1 to `most`, which is explained by `meaning`.

    >>> as_count("epochs", 3)
    3
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ProblemError(f"{name}: must be a whole number, got {value!r}.")
    count = int(value)
    if count < 1:
        raise ProblemError(f"{name}: must be at least 1, got {count}.")
    if most is not None and count > most:
        raise ProblemError(f"{name}: must be at most {most}, {meaning}, got {count}.")
    return count


def as_target(value: object) -> float | None:
    """Return a finite number, or None where there is no target."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise ProblemError(f"target: must be a finite value of the metric, or None, got {value!r}.")
    return float(value)
