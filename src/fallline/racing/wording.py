"""How numbers and names are put into sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fallline.racing.judging.records import Estimate


def listed(names: Sequence[str], last: str = "and") -> str:
    """Names as a person lists them.

    >>> listed(["adam", "adamw", "sgd"])
    'adam, adamw and sgd'
    """
    return f" {last} ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def counted(number: int, what: str) -> str:
    """A number with what it counts.

    >>> counted(1, "seed"), counted(1200, "step")
    ('1 seed', '1,200 steps')
    """
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def duration(seconds: float | Estimate) -> str:
    """A measured time in three digits and the unit that suits it, with its interval if it has one.

    >>> duration(1.234e-4), duration(0.0123), duration(2), duration(Estimate(2e-3, 1.5e-3, 0.25))
    ('123 µs', '12.3 ms', '2 s', '2 ms (1.5 to 250)')
    """
    time = seconds if isinstance(seconds, Estimate) else Estimate(seconds, math.nan, math.nan)
    scale, unit = _unit(time.value)
    ends = f" ({time.low / scale:.3g} to {time.high / scale:.3g})" if time.has_interval else ""
    return f"{time.value / scale:.3g} {unit}{ends}"


def duration_range(time: Estimate) -> str:
    """The interval of a measured time alone, where a table has no room for more; the time where there is none.

    >>> duration_range(Estimate(2.2e-3, 2e-3, 0.01)), duration_range(Estimate(0.5, math.nan, math.nan))
    ('2 to 10 ms', '500 ms')
    """
    scale, unit = _unit(time.value)
    return f"{time.low / scale:.3g} to {time.high / scale:.3g} {unit}" if time.has_interval else duration(time)


def _unit(seconds: float) -> tuple[float, str]:
    return next(((s, u) for s, u in ((1.0, "s"), (1e-3, "ms")) if seconds >= s), (1e-6, "µs"))


def rough_duration(seconds: float) -> str:
    """An estimated time, no finer than it is known.

    >>> rough_duration(0.3), rough_duration(38.2), rough_duration(250), rough_duration(20_000)
    ('less than a second', 'about 38 seconds', 'about 4 minutes', 'about 6 hours')
    """
    if seconds < 1:
        return "less than a second"
    scale, unit = next(((s, u) for s, u in ((3600, "hour"), (60, "minute")) if seconds >= 1.5 * s), (1, "second"))
    return f"about {counted(round(seconds / scale), unit)}"
