"""A lesson: a textbook's claim, the experiment that puts it to the test, and the verdict that its numbers give."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from fallline.racing.decision import LEVEL

#: What one number says of a claim, or those of one condition: the claim, its opposite, or neither.
Outcome = Literal["holds", "does not hold", "open"]
Verdict = Literal["holds", "holds under these conditions", "does not hold here"]


@dataclass(frozen=True)
class Check:
    """One number that the claim says something of: it should lie above `above`, or below `below`.

    Attributes:
        what: What the number is, as a noun phrase with its unit.
        estimate: Its estimate.
        low: The lower end of its 95 % interval, over the seeds; `low` and `high` are `estimate` where nothing is drawn.
        high: The upper end.
        above: What the claim says it is above, or None.
        below: What the claim says it is below, or None.
        condition: Where it was measured, if the claim is tried under several conditions.
    """

    what: str
    estimate: float
    low: float
    high: float
    above: float | None = None
    below: float | None = None
    condition: str = ""

    @property
    def holds(self) -> bool:
        """Whether the whole interval lies where the claim says; one that is no number never does."""
        return (self.above is None or self.low > self.above) and (self.below is None or self.high < self.below)

    @property
    def contradicted(self) -> bool:
        """Whether the whole interval lies where the claim says that it does not."""
        return (self.above is not None and self.high <= self.above) or (
            self.below is not None and self.low >= self.below
        )

    @property
    def outcome(self) -> Outcome:
        """What the interval says of the claim."""
        return "holds" if self.holds else "does not hold" if self.contradicted else "open"

    @property
    def claimed(self) -> str:
        """Where the claim says that the number is.

        >>> exact("cosine", 0.0, above=-0.1, below=0.1).claimed
        'between -0.1 and 0.1'
        """
        if self.above is not None and self.below is not None:
            return f"between {self.above:.3g} and {self.below:.3g}"
        return f"above {self.above:.3g}" if self.above is not None else f"below {self.below:.3g}"

    @property
    def found(self) -> str:
        """The estimate, with the interval where something was drawn."""
        if self.low == self.high or math.isnan(self.low):
            return f"{self.estimate:.3g}"
        if not (math.isfinite(self.low) or math.isfinite(self.high)):
            return f"{self.estimate:.3g}, not all finite"
        return f"{self.estimate:.3g} ({self.low:.3g} to {self.high:.3g})"

    def __str__(self) -> str:
        return f"{self.what}: {self.found}, claimed to be {self.claimed}: {self.outcome}"


def exact(
    what: str, value: float, *, above: float | None = None, below: float | None = None, condition: str = ""
) -> Check:
    """A number that nothing is drawn for.

    Args:
        what: What it is.
        value: The number.
        above: What the claim says it is above.
        below: What the claim says it is below.
        condition: Where it was measured.

    Returns:
        The check.

    >>> exact("the product of gradient and tangent", 1e-9, below=1e-6).holds
    True
    """
    return Check(what, value, value, value, above, below, condition)


def measured(
    what: str,
    values: ArrayLike,
    *,
    above: float | None = None,
    below: float | None = None,
    condition: str = "",
    of: int = 1,
    ratio: bool = False,
) -> Check:
    """A mean over seeds with its t-interval.

    Args:
        what: What it is.
        values: One number a seed [seeds], such as differences or ratios paired by seed.
        above: What the claim says it is above.
        below: What the claim says it is below.
        condition: Where it was measured.
        of: How many checks the lesson makes, so that all their intervals hold together (Bonferroni).
        ratio: Whether the values are ratios, above 0, whose geometric mean is meant.

    Returns:
        The check. With a value that is not finite (of a run that diverged), its estimate is their median, and its
        interval leaves everything open.

    Raises:
        ValueError: There are fewer than two seeds.

    >>> check = measured("steps of momentum over steps of descent", [0.21, 0.25, 0.23], below=1.0, ratio=True)
    >>> round(check.estimate, 2), check.holds
    (0.23, True)
    >>> measured("steps of a run that never arrives", [3.0, 4.0, math.inf], above=1.0).holds
    False
    """
    numbers = np.asarray(values, dtype=float)
    if numbers.ndim != 1 or numbers.size < 2:
        raise ValueError(f"values must be one number for each of two seeds or more; their shape is {numbers.shape}.")
    with np.errstate(all="ignore"):
        drawn = np.log(numbers) if ratio else numbers
    if not np.isfinite(drawn).all():
        return Check(what, float(np.median(numbers)), -math.inf, math.inf, above, below, condition)
    middle = float(drawn.mean())
    error = float(drawn.std(ddof=1)) / math.sqrt(drawn.size)
    reach = error * float(stats.t.ppf(1 - LEVEL / (2 * of), drawn.size - 1))
    low, high = middle - reach, middle + reach
    if ratio:
        middle, low, high = math.exp(middle), math.exp(low), math.exp(high)
    return Check(what, middle, low, high, above, below, condition)


def outcome_of(checks: Sequence[Check]) -> Outcome:
    """What all checks of a condition say together.

    >>> outcome_of([exact("a", 1, above=0), measured("b", [-1.0, 2.0, 1.0], above=0)])
    'open'
    """
    outcomes = {check.outcome for check in checks}
    return "does not hold" if "does not hold" in outcomes else "open" if "open" in outcomes else "holds"


def verdict_of(checks: Sequence[Check]) -> Verdict:
    """What the checks say of the claim: each condition holds if all of its checks do.

    >>> verdict_of([exact("a", 1, above=0, condition="deep"), exact("b", -1, above=0, condition="shallow")])
    'holds under these conditions'
    """
    conditions = {check.condition for check in checks}
    held = {outcome_of([one for one in checks if one.condition == condition]) == "holds" for condition in conditions}
    if held == {True}:
        return "holds"
    return "holds under these conditions" if True in held else "does not hold here"


@dataclass(frozen=True)
class Lesson:
    """A claim, and the experiment that tries it.

    Attributes:
        number: Its place in the list.
        title: A few words.
        claim: What textbooks say, as one sentence.
        source: Who said so (paper, year).
        experiment: Runs it; keyword arguments change the experiment, `seeds` how many runs each mean is over.
        try_next: What a reader might change, and will see then, as one or two sentences.
    """

    number: int
    title: str
    claim: str
    source: str
    experiment: Callable[..., Evidence]
    try_next: str

    @property
    def call(self) -> str:
        """How it is run with other settings, as a sentence."""
        return f"fl.lessons.run({self.number}, ...) takes {', '.join(inspect.signature(self.experiment).parameters)}."


@dataclass(frozen=True)
class Evidence:
    """What an experiment measured.

    Attributes:
        setting: What was run, on which data, over how many seeds, as one or two sentences.
        checks: The numbers that the claim says something of.
        picture: The lesson's picture (`fallline.lessons.pictures`).
        remark: What was seen besides, with its numbers; or nothing.
    """

    setting: str
    checks: tuple[Check, ...]
    picture: object
    remark: str = ""

    @property
    def verdict(self) -> Verdict:
        """What the checks say of the claim."""
        return verdict_of(self.checks)
