"""Dimensions of a search space, and where each method's hyperparameters are searched by default; without torch.

Learning rates are log-uniform, over seven decades unless a method's authors say otherwise, so that every arm has as
much to search.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fallline import rules
from fallline.rules import ADAPTIVE, PLAIN, RELATIVE

#: How learning rates go over a run in a race that is told nothing of it: what serves most arms best, each tuned, on the
#: bundled problems (benchmarks/schedules.py).
DEFAULT_SCHEDULE = "warmup-stable-decay"

#: Numbers and strings: what a configuration holds.
Value = float | str
_SCALES = ("log", "linear", "complement")
_AT_EDGE = 0.05


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, drawn evenly on a scale.

    Args:
        low: The lowest.
        high: The highest.
        scale: "log", where the number is log-uniform; "linear"; or "complement", where what is missing to 1 is, as
            suits momenta and decay factors: from 0.9 to 0.99 is as far as from 0.99 to 0.999.
        open: Whether a search may go on beyond an end where the best lies at it, which takes the scale "log".

    Raises:
        ValueError: The ends do not fit the scale: 0 < low < high on "log", low < high < 1 on "complement".

    >>> Range(1e-4, 1.0).at(0.25), Range(0.9, 0.999, "complement").at(0.5)
    (0.001, 0.99)
    """

    low: float
    high: float
    scale: str = "log"
    open: bool = False

    def __post_init__(self) -> None:
        ends = f"({self.low!r}, {self.high!r})"
        if not (_is_number(self.low) and _is_number(self.high)):
            raise ValueError(f"a range has two finite numbers for ends; got {ends}")
        if self.scale not in _SCALES:
            raise ValueError(f"the scale of a range must be one of {', '.join(_SCALES)}; got {self.scale!r}")
        wanted = {"log": "0 < low < high", "linear": "low < high", "complement": "low < high < 1"}[self.scale]
        beyond = {"log": self.low <= 0, "linear": False, "complement": self.high >= 1}[self.scale]
        if beyond or not self.low < self.high:
            raise ValueError(f"a range on the {self.scale} scale must have {wanted}; got {ends}")
        if self.open and self.scale != "log":
            raise ValueError(f"an open range must be on the log scale, since others end somewhere; got {self.scale!r}")

    def at(self, unit: float) -> float:
        """The number at a share of the way.

        Args:
            unit: The share, from 0 to 1; of an open range any number.

        Returns:
            The number, with 15 digits.

        >>> Range(0.0, 0.2, "linear").at(0.5)
        0.1
        """
        low, high = self._scaled(self.low), self._scaled(self.high)
        found = low + unit * (high - low)
        if self.scale != "linear":
            found = math.exp(found) if self.scale == "log" else 1 - math.exp(-found)
        # The last digits are the rounding of logarithms.
        return self._within(float(f"{found:.15g}"))

    def place(self, value: float) -> float:
        """The share of the way at which a number lies.

        Args:
            value: The number.

        Returns:
            A share from 0 to 1, which are also those of numbers beyond the ends; of an open range any number.

        >>> round(Range(1e-4, 1.0).place(0.01), 9)
        0.5
        """
        low, high = self._scaled(self.low), self._scaled(self.high)
        return (self._scaled(self._within(value)) - low) / (high - low)

    def edge(self, value: Value, within: float = _AT_EDGE) -> str | None:
        """At which end a value lies, if at one.

        Args:
            value: The number.
            within: The share of the range that counts as its end.

        Returns:
            "low", "high" or None.

        >>> Range(1e-4, 1.0).edge(0.9), Range(1e-4, 1.0).edge(0.1)
        ('high', None)
        """
        place = self.place(float(value))
        return "low" if place < within else "high" if place > 1 - within else None

    def to_json(self) -> dict[str, Any]:
        """As plain data, which `from_json` reads."""
        return {"low": self.low, "high": self.high, "scale": self.scale, "open": self.open}

    def _within(self, value: float) -> float:
        return value if self.open else min(max(value, self.low), self.high)

    def _scaled(self, value: float) -> float:
        """The value on the scale on which it is drawn evenly; it rises with the value."""
        if self.scale == "linear":
            return value
        return math.log(value) if self.scale == "log" else -math.log(1 - value)


@dataclass(frozen=True)
class Choice:
    """One of some numbers or strings, all equally likely, in no order.

    Args:
        options: At least one; a list becomes a tuple.

    Raises:
        ValueError: There is no option, one comes twice, or one is no finite number or string.

    >>> Choice(("constant", "cosine")).at(0.7)
    'cosine'
    """

    options: tuple[Value, ...]

    def __post_init__(self) -> None:
        options = self.options
        if isinstance(options, str) or not isinstance(options, (tuple, list)):
            raise ValueError(f"a choice has a list of options, such as Choice((32, 64)); got {options!r}")
        object.__setattr__(self, "options", tuple(options))
        strange = next((one for one in options if not (isinstance(one, (str, bool)) or _is_number(one))), None)
        if not options or strange is not None or len(set(options)) < len(options):
            raise ValueError(f"a choice has options, all different, each a finite number or a string; got {options!r}")

    def at(self, unit: float) -> Value:
        """The option at a share of the way.

        Args:
            unit: The share, from 0 to 1.
        """
        return self.options[min(int(unit * len(self.options)), len(self.options) - 1)]

    def edge(self, value: Value, within: float = _AT_EDGE) -> str | None:
        """None: options have no order.

        Args:
            value: An option.
            within: As `Range.edge` takes it.
        """
        return None

    def to_json(self) -> dict[str, Any]:
        """As plain data, which `from_json` reads."""
        return {"options": list(self.options)}


Dimension = Range | Choice


def as_dimension(given: Any) -> Dimension:
    """A dimension as it is, or the log-uniform range of a plain (low, high). Raises ValueError for what is neither.

    >>> as_dimension((1e-4, 10))
    Range(low=0.0001, high=10, scale='log', open=False)
    """
    if isinstance(given, (Range, Choice)):
        return given
    if isinstance(given, (tuple, list)) and len(given) == 2:
        return Range(*given)
    raise ValueError(f"a dimension is (low, high) with 0 < low < high, a Range or a Choice; got {given!r}")


def from_json(data: Mapping[str, Any]) -> Dimension:
    """The dimension that `to_json` described.

    >>> from_json(Choice((32, 64)).to_json())
    Choice(options=(32, 64))
    """
    return Choice(tuple(data["options"])) if "options" in data else Range(**data)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


#: Where the learning rates of classes are searched that are no rule of ours, by their names in lower case.
_CLASSES = {
    **dict.fromkeys(("fullmatrixadagrad", "asgd"), PLAIN),
    **dict.fromkeys(("soap", "sparseadam", "rprop"), ADAPTIVE),
    **dict.fromkeys(("adafactor", "muon"), RELATIVE),
}
_DECADES = 7


def space_of(method: str, name: str, default: Any) -> Dimension | None:
    """Where to search a method's hyperparameter by default, or None where nothing is known of it.

    The method is called as its rule or class is. What no record tells is searched around its default: a learning
    rate over seven decades, another number over two, one from a half to 1 by what is missing to 1; a truth value both
    ways. The range of a learning rate is open.

    >>> space_of("AdamW", "lr", 1e-3)
    Range(low=1e-07, high=1.0, scale='log', open=True)
    >>> space_of("mine", "decay", 0.95)
    Range(low=0.5, high=0.995, scale='complement', open=False)
    """
    record, shared = rules.record_of(method), rules.HYPERPARAMETERS.get(name)
    if record is not None:
        known = record.space(name)
    elif name == "lr":
        known = _CLASSES.get(method.lower())
    else:
        known = shared and shared.space
    if known is not None:
        return replace(Range(*known), open=name == "lr")
    if isinstance(default, bool):
        return Choice((False, True))
    if not isinstance(default, (int, float)) or not 0 < default < math.inf:
        return None
    if name == "lr":
        return Range(default * 10 ** (-_DECADES / 2), default * 10 ** (_DECADES / 2), open=True)
    if 0.5 <= default < 1:
        return Range(max(0.0, round(1 - 10 * (1 - default), 9)), round(1 - (1 - default) / 10, 9), "complement")
    return Range(default / 10, default * 10)
