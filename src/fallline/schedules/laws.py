"""Laws of the step: those that decay for ever, those that drop at once, and those that come down over given steps.

They count steps or epochs alike: `law.per_epoch(steps_per_epoch)` counts epochs. Bottou, Curtis and Nocedal,
*Optimization Methods for Large-Scale Machine Learning*, 2018, discuss which converge. What comes down over `steps` is
at its end at step `steps`: a run of as many updates uses the steps 0 to steps - 1, its last comes just before the end.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping

from fallline._asked import number, whole
from fallline.schedules.schedule import Schedule


def inverse_time(rate: float) -> Schedule:
    """Return 1 / (1 + rate·t), the decay of Robbins and Monro, 1951.

    Args:
        rate: How fast it falls, at least 0: it is halved at step 1/rate.

    Raises:
        TypeError, ValueError: The rate is no finite number, or below 0.

    >>> [inverse_time(1.0)(epoch) for epoch in (0, 1, 3)]
    [1.0, 0.5, 0.25]
    """
    return Schedule(_inverse_time, (number("rate", rate),))


def exponential(factor: float) -> Schedule:
    """Return factor**t, as in 0.95**epoch. torch calls it ExponentialLR.

    Args:
        factor: What is left after each step, greater than 0 and at most 1.

    Raises:
        TypeError, ValueError: The factor is no such number.

    >>> [exponential(0.5)(epoch) for epoch in (0, 1, 3)]
    [1.0, 0.5, 0.125]
    """
    return Schedule(_exponential, (number("factor", factor, above=0, most=1),))


def inverse_square_root(k: float = 1.0, first: int = 1) -> Schedule:
    """Return k / √(t + first).

    After a warm-up of N steps to k/√N, `first=N` goes on without a jump, as in Vaswani et al., *Attention Is All You
    Need*, 2017: `warmup(N).then(inverse_square_root(k=N**0.5, first=N))` with the peak as base rate.

    Args:
        k: The factor of the step that counts as 1, greater than 0.
        first: What the first step counts as, from 1.

    Raises:
        TypeError, ValueError: `k` is no such number, or `first` no whole number from 1.

    >>> [inverse_square_root()(step) for step in (0, 3)]
    [1.0, 0.5]
    """
    return Schedule(_inverse_square_root, (number("k", k, above=0), whole("first", first)))


def staircase(every: int, factor: float = 0.1) -> Schedule:
    """Return factor**floor(t / every). torch calls it StepLR.

    It is `exponential(factor).per_epoch(every)`; any other law becomes a staircase in the same way.

    Args:
        every: How many steps each stair is long.
        factor: What is left after each stair, greater than 0 and at most 1.

    Raises:
        TypeError, ValueError: `every` is no whole number from 1, or `factor` no such number.

    >>> [staircase(2, 0.5)(step) for step in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """
    return exponential(factor).per_epoch(whole("every", every))


def milestones(at: Iterable[int], factor: float = 0.1) -> Schedule:
    """Return factor**(the number of milestones that t has reached). torch calls it MultiStepLR.

    Args:
        at: The steps at which it drops, from 1 and rising.
        factor: What is left after each drop, greater than 0 and at most 1.

    Raises:
        TypeError, ValueError: The steps are no whole numbers that rise, or the factor is no such number.

    >>> [milestones([2, 3], 0.5)(step) for step in range(5)]
    [1.0, 1.0, 0.5, 0.25, 0.25]
    """
    steps = _rising("at", at, least=1)
    return Schedule(_milestones, (steps, number("factor", factor, above=0, most=1)))


def table(factors: Mapping[int, float]) -> Schedule:
    """Return the factors of a table by hand: each holds from its step until the next one's.

    Args:
        factors: The factor from each step on; the steps begin with 0 and rise, the factors are at least 0.

    Raises:
        TypeError, ValueError: The steps or the factors are none such.

    >>> [table({0: 1.0, 2: 0.3})(step) for step in range(4)]
    [1.0, 1.0, 0.3, 0.3]
    """
    if not isinstance(factors, Mapping):
        raise TypeError(f"factors must map steps to factors, as in {{0: 1.0, 30: 0.1}}; got {factors!r}")
    steps = _rising("the steps of factors", factors, least=0)
    if steps[0] != 0:
        raise ValueError(f"factors must say what holds from step 0; its first step is {steps[0]}")
    values = tuple(number(f"the factor of step {step}", factors[step]) for step in steps)
    return Schedule(_table, (steps, values))


def polynomial(steps: int, power: float = 2.0, end: float = 0.0) -> Schedule:
    """Return end + (1 - end)·(1 - t/steps)**power. torch calls it PolynomialLR, with an end of 0.

    Args:
        steps: How many steps it takes, from 1.
        power: How it is bent, greater than 0; 1 is a straight line.
        end: The factor that it comes down to, from 0 to 1.

    Raises:
        TypeError, ValueError: An argument is no such number.

    >>> [polynomial(4)(step) for step in (0, 2, 4, 9)]
    [1.0, 0.25, 0.0, 0.0]
    """
    length = whole("steps", steps)
    power, end = number("power", power, above=0), number("end", end, most=1)
    return Schedule(_polynomial, (length, power, end), length)


def linear(steps: int, end: float = 0.0) -> Schedule:
    """Return the straight line from 1 to `end`. torch calls it LinearLR, from a start factor of 1.

    Args:
        steps: How many steps it takes, from 1.
        end: The factor that it comes down to, from 0 to 1.

    Raises:
        TypeError, ValueError: An argument is no such number.

    >>> [linear(4)(step) for step in (0, 1, 4, 9)]
    [1.0, 0.75, 0.0, 0.0]
    """
    return polynomial(steps, 1.0, end)


def cosine(steps: int, floor: float = 0.0) -> Schedule:
    """Return floor + (1 - floor)·(1 + cos(π·t/steps))/2 (Loshchilov and Hutter, *SGDR*, 2017), without restarts.

    torch's CosineAnnealingLR is the same until step `steps`; after it torch's rises again, and this one stays.

    Args:
        steps: How many steps it takes, from 1.
        floor: The factor that it comes down to, from 0 to 1.

    Raises:
        TypeError, ValueError: An argument is no such number.

    >>> [round(cosine(4, floor=0.1)(step), 3) for step in (0, 2, 4, 9)]
    [1.0, 0.55, 0.1, 0.1]
    """
    length = whole("steps", steps)
    return Schedule(_cosine, (length, number("floor", floor, most=1)), length)


def cosine_between(start: float, end: float, part: float) -> float:
    """Return the point at `part` (0 to 1) of the half wave from `start` to `end`.

    >>> cosine_between(1.0, 0.0, 0.5)
    0.5
    """
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2


def _inverse_time(step: int, rate: float) -> float:
    return 1 / (1 + rate * step)


def _exponential(step: int, factor: float) -> float:
    return float(factor**step)


def _inverse_square_root(step: int, k: float, first: int) -> float:
    return k / math.sqrt(step + first)


def _rising(name: str, values: Iterable[int], least: int) -> tuple[int, ...]:
    if not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a list of steps; got {values!r}")
    steps = tuple(whole(f"each of {name}", value, least) for value in values)
    if not steps or list(steps) != sorted(set(steps)):
        raise ValueError(f"{name} must be one or more steps, each later than the one before; got {list(steps)}")
    return steps


def _milestones(step: int, at: tuple[int, ...], factor: float) -> float:
    return float(factor ** bisect_right(at, step))


def _table(step: int, steps: tuple[int, ...], values: tuple[float, ...]) -> float:
    return values[bisect_right(steps, step) - 1]


def _polynomial(step: int, steps: int, power: float, end: float) -> float:
    return end + (1 - end) * float((1 - min(step, steps) / steps) ** power)


def _cosine(step: int, steps: int, floor: float) -> float:
    return cosine_between(1.0, floor, min(step, steps) / steps)
