"""Laws that hold a rate and then drop it at once: the staircase, drops at given steps, the table by hand."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping

from fallline.schedules.arguments import as_count, as_number
from fallline.schedules.decay import exponential
from fallline.schedules.schedule import Schedule


def staircase(every: int, factor: float = 0.1) -> Schedule:
    """Return factor**floor(t / every). torch calls it StepLR.

    It is `exponential(factor).per_epoch(every)`; any other law becomes a staircase in the same way.

    Raises TypeError or ValueError unless `every` is a whole number from 1 and `factor` greater than 0 and at most 1.

    >>> [staircase(2, 0.5)(step) for step in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """
    return exponential(factor).per_epoch(as_count("every", every))


def milestones(at: Iterable[int], factor: float = 0.1) -> Schedule:
    """Return factor**(the number of milestones that t has reached). torch calls it MultiStepLR.

    Raises TypeError or ValueError unless `at` are whole numbers from 1 that rise and `factor` is greater than 0 and
    at most 1.

    >>> [milestones([2, 3], 0.5)(step) for step in range(5)]
    [1.0, 1.0, 0.5, 0.25, 0.25]
    """
    steps = _rising("at", at, least=1)
    return Schedule(_milestones, (steps, as_number("factor", factor, above=0, most=1)))


def table(factors: Mapping[int, float]) -> Schedule:
    """Return the factors of a table by hand: each holds from its step until the next one's.

    Raises TypeError or ValueError unless the steps begin with 0 and rise, and the factors are numbers from 0.

    >>> [table({0: 1.0, 2: 0.3})(step) for step in range(4)]
    [1.0, 1.0, 0.3, 0.3]
    """
    if not isinstance(factors, Mapping):
        raise TypeError(f"factors must map steps to factors, as in {{0: 1.0, 30: 0.1}}; got {factors!r}")
    steps = _rising("the steps of factors", factors, least=0)
    if steps[0] != 0:
        raise ValueError(f"factors must say what holds from step 0; its first step is {steps[0]}")
    values = tuple(as_number(f"the factor of step {step}", factors[step]) for step in steps)
    return Schedule(_table, (steps, values))


def _rising(name: str, values: Iterable[int], least: int) -> tuple[int, ...]:
    if not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a list of steps; got {values!r}")
    steps = tuple(as_count(f"each of {name}", value, least) for value in values)
    if not steps or list(steps) != sorted(set(steps)):
        raise ValueError(f"{name} must be one or more steps, each later than the one before; got {list(steps)}")
    return steps


def _milestones(step: int, at: tuple[int, ...], factor: float) -> float:
    return float(factor ** bisect_right(at, step))


def _table(step: int, steps: tuple[int, ...], values: tuple[float, ...]) -> float:
    return values[bisect_right(steps, step) - 1]
