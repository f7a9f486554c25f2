"""What every room asks of what it is given: numbers, seeds, and the name that was meant."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

#: Seeds are taken by torch's generators, NumPy's and Optuna's alike.
LARGEST_SEED = 2**63 - 1


def whole(
    name: str, value: Any, least: int = 1, most: int | None = None, *, error: type[Exception] | None = None
) -> int:
    """Return a whole number from `least` to `most`.

    Args:
        name: What the number is called where it was given.
        value: What was given.
        least: The smallest that is taken.
        most: The largest that is taken; None for any.
        error: What is raised whatever is wrong; None for Python's own.

    Returns:
        The number, as Python's own.

    Raises:
        TypeError: `value` is no whole number.
        ValueError: It is too small or too large.

    >>> whole("steps", 3)
    3
    """
    wanted = f"{name} must be a whole number from {least}" + ("" if most is None else f" to {_written(most)}")
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise (error or TypeError)(f"{wanted}; got {value!r}")
    number = int(value)
    if number < least or (most is not None and number > most):
        raise (error or ValueError)(f"{wanted}; got {number}")
    return number


def number(
    name: str,
    value: Any,
    least: float = 0.0,
    most: float = math.inf,
    *,
    above: float | None = None,
    below: float | None = None,
    error: type[Exception] | None = None,
) -> float:
    """Return a finite number from `least` to `most`, or between bounds that are excluded.

    Args:
        name: What the number is called where it was given.
        value: What was given.
        least: The smallest that is taken.
        most: The largest that is taken; infinity for any.
        above: What it must be greater than, in place of `least`.
        below: What it must be less than, in place of `most`.
        error: What is raised whatever is wrong; None for Python's own.

    Returns:
        The number, as Python's own.

    Raises:
        TypeError: `value` is no number.
        ValueError: It is too small, too large, or not finite.

    >>> number("rate", 1), number("beta", 0.9, below=1)
    (1.0, 0.9)
    """
    ends = [f"greater than {above:g}" if above is not None else f"at least {least:g}"]
    ends += [f"less than {below:g}"] if below is not None else [f"at most {most:g}"] if most < math.inf else []
    wanted = f"{name} must be a finite number, {' and '.join(ends)}"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise (error or TypeError)(f"{wanted}; got {value!r}")
    found = float(value)
    inside = (found > above if above is not None else found >= least) and (found < below if below is not None else True)
    if not (inside and found <= most and math.isfinite(found)):
        raise (error or ValueError)(f"{wanted}; got {value}")
    return found


def seed(value: Any, name: str = "seed", *, error: type[Exception] = ValueError) -> int:
    """Return a number that random generators start from: `whole` from 0 to 2**63 - 1.

    >>> seed(7)
    7
    """
    return whole(name, value, 0, LARGEST_SEED, error=error)


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known name that a mistyped one is nearest to, or None where none is near.

    >>> nearest("adm", ["adam", "lion"])
    'adam'
    """
    return next(iter(difflib.get_close_matches(name, list(known), 1, cutoff)), None)


def did_you_mean(name: str, known: Iterable[str], lead: str = "there are", cutoff: float = 0.6) -> str:
    """Return the end of a sentence on an unknown name: the one that was meant, or all that there are after `lead`.

    >>> did_you_mean("adm", ["adam", "lion"]), did_you_mean("x", ["adam", "lion"])
    ("did you mean 'adam'?", 'there are adam, lion')
    """
    known = list(known)
    near = nearest(name, known, cutoff)
    return f"did you mean '{near}'?" if near else f"{lead} {', '.join(known) or 'none'}"


def _written(number: int) -> str:
    return "2**63 - 1" if number == LARGEST_SEED else str(number)
