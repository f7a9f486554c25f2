"""The record of a rule: all that is known of it beside its formula, and written in the same file.

Whatever lists rules, or knows something of one, reads these records. What a hyperparameter's name says whatever the
rule is written here once; a record states what is its rule's own. Nothing here needs torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal, NamedTuple

from fallline._asked import did_you_mean
from fallline.symbolic import Rule

#: A range that is searched: its ends, and its scale where that is not "log".
Ends = tuple[float, float] | tuple[float, float, str]

#: Learning rates, over seven decades, so that every rule has as much to search.
PLAIN: Ends = (1e-5, 100.0)  # steps as long as the gradient, or the sum of some
SUMMED: Ends = (1e-4, 1000.0)  # an average of gradients is 1/(1-μ) shorter than their sum
ADAPTIVE: Ends = (1e-7, 1.0)  # every element moves by about the rate
RELATIVE: Ends = (1e-6, 10.0)  # steps relative to the weights' size, or shortened at first


class Interval(NamedTuple):
    """Numbers from low to high.

    Args:
        low: The lowest.
        high: The highest; infinity for none.
        has_low: Whether the lowest belongs to it.
        has_high: Whether the highest does.
    """

    low: float
    high: float
    has_low: bool = True
    has_high: bool = False

    def unmet(self, value: float) -> str | None:
        """The interval in words, unless it holds the value.

        Args:
            value: A number, not NaN.

        >>> Interval(0, 1).unmet(1.0), Interval(0, 1).unmet(0.9)
        ('at least 0 and less than 1', None)
        """
        above = value >= self.low if self.has_low else value > self.low
        return None if above and (value <= self.high if self.has_high else value < self.high) else str(self)

    def __str__(self) -> str:
        above = f"{'at least' if self.has_low else 'more than'} {self.low:g}"
        if self.high == math.inf:
            return above if self.has_high else f"{above} and finite"
        return f"{above} and {'at most' if self.has_high else 'less than'} {self.high:g}"


FROM_ZERO, POSITIVE = Interval(0, math.inf), Interval(0, math.inf, has_low=False)
DECAY, SHARE = Interval(0, 1), Interval(0, 1, has_high=True)


class Hyperparameter(NamedTuple):
    """What a name says: what its numbers may be, where they are searched, and whether it does so in any rule."""

    limits: Interval
    space: Ends | None = None
    everywhere: bool = False


_MOMENTUM, _SQUARES = (0.5, 0.999, "complement"), (0.9, 0.9999, "complement")
#: Hyperparameters by name; decay factors are searched by what is missing to 1, as Choi et al. (2019) do.
HYPERPARAMETERS: dict[str, Hyperparameter] = {
    "lr": Hyperparameter(FROM_ZERO, everywhere=True),
    "eps": Hyperparameter(FROM_ZERO, (1e-10, 1e-2), everywhere=True),
    "weight_decay": Hyperparameter(FROM_ZERO, (1e-6, 0.1), everywhere=True),
    "beta": Hyperparameter(DECAY, _MOMENTUM, everywhere=True),
    "beta1": Hyperparameter(DECAY, _MOMENTUM, everywhere=True),
    "beta2": Hyperparameter(DECAY, _SQUARES, everywhere=True),
    "beta3": Hyperparameter(DECAY, (0.99, 0.99999, "complement"), everywhere=True),
    "momentum": Hyperparameter(SHARE, _MOMENTUM),
    "dampening": Hyperparameter(SHARE, (0.0, 0.9, "linear")),
    "alpha": Hyperparameter(SHARE, _SQUARES),
    "rho": Hyperparameter(SHARE, _SQUARES),
    "eps_hat": Hyperparameter(FROM_ZERO, (1e-10, 1e-2)),
    # Of combinators.
    "average_decay": Hyperparameter(SHARE),
    "clip_value": Hyperparameter(POSITIVE),
    "lambda1": Hyperparameter(FROM_ZERO),
    "lr_max": Hyperparameter(POSITIVE),
    "max_norm": Hyperparameter(POSITIVE),
    "warmup": Hyperparameter(FROM_ZERO),
}


class Moment(NamedTuple):
    """What a state gathers.

    Args:
        kind: `SUM`, `AVERAGE` or `SQUARES`.
        decay: The hyperparameter that is its decay factor.
    """

    kind: str
    decay: str


#: Families, by the method that the others vary.
Family = Literal["AdaGrad", "Adam", "momentum"]
ADAGRAD: Family = "AdaGrad"
ADAM: Family = "Adam"
MOMENTUM: Family = "momentum"

SUM, AVERAGE, SQUARES = "sum of gradients", "average of gradients", "average of squares"
ADAM_MOMENTS = {"m": Moment(AVERAGE, "beta1"), "v": Moment(SQUARES, "beta2")}


class Twin(NamedTuple):
    """What takes the same steps in torch.

    Args:
        name: Of the class in torch.optim.
        options: What makes it do so, by name.
    """

    name: str
    options: Mapping[str, Any] = {}


@dataclass(frozen=True, eq=False)
class Record:
    """What is known of a rule beside its formula.

    Args:
        rule: The rule.
        year: When it was published.
        source: Who published it, and where.
        lr: Where its learning rate is searched.
        use: When to use it, as a sentence.
        weakness: What is known against it, as a sentence.
        family: `ADAGRAD`, `ADAM` or `MOMENTUM`; None where it varies none of them.
        name: What it is called, where that is not its function's name, as of a rule that combinators compose.
        aliases: What else people call it; the first is the name of its arm in a race that is given none.
        conventions: The rules that are this method by one convention or another, itself among them.
        class_name: What its class in `fallline.arrays` is called, and in `fallline.optim` where torch has none.
        twin: The class of torch.optim that does the same.
        spaces: Where hyperparameters are searched whose names do not say it, or say something else elsewhere.
        limits: What such hyperparameters may be.
        moments: The states that hold what another rule can go on with.
        default_arm: Its place in a race that is given no arms; None for none.
        surface_lr: The learning rate to begin with on a surface of two parameters.
        surface_lrs: The lowest and the highest learning rate to try on one.

    Raises:
        ValueError: The source, use, weakness or name is missing, a hyperparameter has no limits, or what is said names
            no hyperparameter or state of the rule.
    """

    rule: Rule
    _: KW_ONLY
    year: int
    source: str
    lr: Ends
    use: str
    weakness: str
    family: Family | None = None
    name: str = ""
    aliases: tuple[str, ...] = ()
    conventions: tuple[str, ...] = ()
    class_name: str | None = None
    twin: Twin | None = None
    spaces: Mapping[str, Ends] = field(default_factory=dict)
    limits: Mapping[str, Interval] = field(default_factory=dict)
    moments: Mapping[str, Moment] = field(default_factory=dict)
    default_arm: int | None = None
    surface_lr: float = 0.1
    surface_lrs: tuple[float, float] = (1e-4, 10.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or self.rule.name)
        if not self.name.isidentifier():
            raise ValueError(f"the record of {self.rule!r} needs a name of one word")
        for what in ("source", "use", "weakness"):
            if not getattr(self, what).strip():
                raise ValueError(f"the record of '{self.name}' lacks its {what}")
        for what in ("aliases", "conventions"):
            if isinstance(getattr(self, what), str):
                raise ValueError(f"the {what} of '{self.name}' must be names in a tuple; got a text")
        if self.class_name is not None and not self.class_name.isidentifier():
            raise ValueError(f"the class of '{self.name}' needs a name of one word; got '{self.class_name}'")
        for what, ends in {"lr": self.lr, "surface_lrs": self.surface_lrs, **self.spaces}.items():
            if isinstance(ends, str) or len(ends) not in (2, 3) or not ends[0] < ends[1]:
                raise ValueError(f"the record of '{self.name}' has no range for {what}: a low end, then a high one")
        states = [spec.name for spec in self.rule.states]
        own = {
            "spaces": (self.spaces, self.rule.hyperparameters),
            "limits": (self.limits, self.rule.hyperparameters),
            "moments": (self.moments, states),
            "moments' decay": ([moment.decay for moment in self.moments.values()], self.rule.hyperparameters),
        }
        for what, (names, known) in own.items():
            for name in names:
                if name not in known:
                    raise ValueError(f"the {what} of '{self.name}' name '{name}'; {did_you_mean(name, known)}")
        for name, limits in self.limits.items():
            if not isinstance(limits, Interval):
                raise ValueError(f"the limits of '{name}' in '{self.name}' must be an Interval; got {limits!r}")
        for name in self.rule.hyperparameters:
            if name not in self.rule.static and self.interval(name) is None:
                raise ValueError(f"the record of '{self.name}' does not say what '{name}' may be: put it into limits")

    def space(self, name: str) -> Ends | None:
        """Where a hyperparameter is searched; None where nobody said.

        Args:
            name: Of the hyperparameter.
        """
        shared = HYPERPARAMETERS.get(name)
        return self.lr if name == "lr" else self.spaces.get(name, shared and shared.space)

    def interval(self, name: str) -> Interval | None:
        """What a hyperparameter may be; None where nobody said.

        Args:
            name: Of the hyperparameter.
        """
        shared = HYPERPARAMETERS.get(name)
        return self.limits.get(name, shared and shared.limits)
