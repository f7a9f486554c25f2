"""What any arm can be told beside its optimizer's own hyperparameters, and where that is searched."""

from __future__ import annotations

from typing import Any

from fallline.racing.arms.dimensions import Choice, Dimension, Range
from fallline.racing.arms.hyperparameters import Method, hyperparameters
from fallline.racing.arms.raced_schedules import SCHEDULES
from fallline.training import Problem

#: What the two last act on is the learning rate.
SHARED = ("batch", "schedule", "warm_up")
_SMALLEST_BATCH, _SPREAD = 8, 8


def offered(method: Method) -> tuple[str, ...]:
    """Those of `SHARED` that an arm with this method can be told: its own hyperparameters keep their names.

    >>> from fallline import rules
    >>> offered(rules.adam)
    ('batch', 'schedule', 'warm_up')
    """
    own = hyperparameters(method)
    return tuple(name for name in (SHARED if "lr" in own else SHARED[:1]) if name not in own)


def shared_dimension(name: str, problem: Problem | None) -> Dimension:
    """Where one of `SHARED` is searched by default. Raises ValueError for batch sizes without a problem.

    Batch sizes are the powers of two from an eighth of the problem's own, but at least 8, to 8 times that, within the
    data.

    >>> from fallline.problems import digits
    >>> shared_dimension("batch", digits())
    Choice(options=(8, 16, 32, 64, 128, 256, 512))
    """
    if name == "schedule":
        return Choice(tuple(SCHEDULES))
    if name == "warm_up":
        return Range(0.0, 0.2, "linear")
    if problem is None:
        raise ValueError("search: the batch sizes follow from the problem's own; give the problem too")
    least, most = max(_SMALLEST_BATCH, problem.batch / _SPREAD), min(problem.batch * _SPREAD, problem.data.examples)
    powers = tuple(2**k for k in range(most.bit_length()) if 2**k >= least)
    return Choice(powers or (problem.batch,))


def check_shared(name: str, dimension: Dimension) -> None:
    """Raise ValueError for values of one of `SHARED`, or of a `switch` between phases, that no run could follow."""
    values = (dimension.low, dimension.high) if isinstance(dimension, Range) else dimension.options
    if name == "warm_up":
        wanted, fits = "a share of the steps, from 0 to less than 1", all(map(_is_share, values))
    elif name == "switch":
        wanted, fits = "a share of the steps, above 0 and below 1", all(map(_is_share, values)) and 0 not in values
    elif name == "batch":
        wanted = "a Choice of whole numbers from 1"
        fits = isinstance(dimension, Choice) and all(map(_is_count, values))
    else:
        wanted = f"a Choice of {', '.join(SCHEDULES)}"
        fits = isinstance(dimension, Choice) and all(value in SCHEDULES for value in values)
    if not fits:
        raise ValueError(f"'{name}' must be {wanted}; got {dimension}")


def _is_share(value: Any) -> bool:
    return isinstance(value, (int, float)) and 0 <= value < 1


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
