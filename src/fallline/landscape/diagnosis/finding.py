"""A finding: what measurements say in a sentence that a person can act on, and what it stands on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fallline.landscape.slices import plain

#: Fewer seeds say nothing about others.
FEWEST_SEEDS = 3


@dataclass(frozen=True)
class Finding:
    """A sentence, and what it stands on.

    Attributes:
        about: What it is on: "rates", "features", "stability", "place", "batch" or "layers".
        sentence: What was found, and what to do.
        evidence: The numbers with their intervals, and the conditions that they hold for, in words.
        numbers: The numbers by name.
    """

    about: str
    sentence: str
    evidence: str
    numbers: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.sentence} ({self.evidence})"

    def to_json(self) -> dict[str, Any]:
        """Plain data; what is not a finite number becomes None."""
        numbers = {name: plain(float(value)) for name, value in self.numbers.items()}
        return {"about": self.about, "sentence": self.sentence, "evidence": self.evidence, "numbers": numbers}


def shown(value: float, digits: int = 2) -> str:
    """A number in so many digits, without an exponent where it needs none.

    >>> shown(100.4), shown(0.000031), shown(19.8)
    ('100', '3.1e-05', '20')
    """
    return f"{float(f'{value:.{digits}g}'):g}"


def rounded_up(value: float, digits: int = 2) -> str:
    """A bound that is to hold, in so many digits.

    >>> rounded_up(0.02013), rounded_up(512.0, 3)
    ('0.021', '512')
    """
    return _rounded(value, digits, math.ceil)


def rounded_down(value: float, digits: int = 2) -> str:
    """Likewise for a bound from below.

    >>> rounded_down(1186.0)
    '1100'
    """
    return _rounded(value, digits, math.floor)


def _rounded(value: float, digits: int, towards: Callable[[float], int]) -> str:
    if value == 0:
        return "0"
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - digits + 1)
    return f"{float(f'{towards(round(value / unit, 6)) * unit:.{digits}g}'):g}"
