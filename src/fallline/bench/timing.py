"""Paired timing: contestants take turns in one run, so that what slows the machine slows all of them."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping

Action = Callable[[], object]


def interleaved(actions: Mapping[str, Action], rounds: int, target_seconds: float = 0.02) -> dict[str, list[float]]:
    """Seconds a call for each action and round; each round calls every action, in an order that alternates.

    Each turn begins with a call that is not timed, so that nobody pays for caches that another filled; short actions
    are repeated until they fill `target_seconds`.
    """
    repeats = {name: max(1, int(target_seconds / max(_once(action), 1e-7))) for name, action in actions.items()}
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    names = list(actions)
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        for turn in range(rounds):
            for name in names if turn % 2 == 0 else reversed(names):
                actions[name]()
                start = time.perf_counter()
                for _ in range(repeats[name]):
                    actions[name]()
                seconds[name].append((time.perf_counter() - start) / repeats[name])
    finally:
        if was_enabled:
            gc.enable()
    return seconds


def _once(action: Action) -> float:
    action()  # the first call makes states and compiles
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def ratios(numerator: list[float], denominator: list[float]) -> list[float]:
    """One action's time over another's in the same round, for each round."""
    return [a / b for a, b in zip(numerator, denominator, strict=True)]


def relative_spread(values: list[float]) -> float:
    """The interquartile range as a share of the median.

    >>> relative_spread([1.0, 2.0, 3.0, 4.0, 5.0])
    0.6666666666666666
    """
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / median
