"""The schedules that a race chooses between, laid over the steps of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fallline.schedules import Schedule, constant, cosine, linear, one_cycle, warmup


def make_schedule(settings: Mapping[str, Any], steps: int) -> Schedule | None:
    """The schedule of a run, or None where the learning rate stays as it is.

    A ramp over the share `warm_up` of the steps goes up evenly to where the schedule begins, which then covers the
    steps that remain.

    >>> schedule = make_schedule({"schedule": "linear", "warm_up": 0.2}, steps=10)
    >>> [round(schedule(step), 3) for step in range(10)]
    [0.333, 0.667, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]
    """
    name, ramp = schedule_name(settings, steps), warm_up_steps(settings, steps)
    law = SCHEDULES[name](steps - ramp)
    if ramp:
        return (law(0) * warmup(ramp, start=1 / (ramp + 1))).then(law)
    return None if name == "constant" else law


def warm_up_steps(settings: Mapping[str, Any], steps: int) -> int:
    """The steps of the ramp; at least one remains for the schedule."""
    return min(round(float(settings.get("warm_up", 0.0)) * steps), steps - 1)


def schedule_name(settings: Mapping[str, Any], steps: int) -> str:
    """The schedule after the ramp; a cycle needs more than one step."""
    name = str(settings.get("schedule", "constant"))
    return "constant" if name == "one_cycle" and steps - warm_up_steps(settings, steps) < 2 else name


def rise_of(steps: int) -> float:
    """The share of a cycle in which the rate rises: 0.3, or in the shortest runs the least that can be had."""
    return max(0.3, 1.5 / steps)


def _constant(steps: int) -> Schedule:
    return constant()


def _one_cycle(steps: int) -> Schedule:
    return one_cycle(steps, rise_of(steps))


#: By name, each a function of the steps that it covers.
SCHEDULES: dict[str, Callable[[int], Schedule]] = {
    "constant": _constant,
    "linear": linear,
    "cosine": cosine,
    "one_cycle": _one_cycle,
}
