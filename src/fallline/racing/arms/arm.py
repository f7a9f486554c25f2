"""What enters a race: a rule or a torch optimizer, with the space in which its hyperparameters are searched."""

from __future__ import annotations

import difflib
import inspect
import math
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from fallline.optim import LookAheadNesterov
from fallline.optim.generic import Optimizer
from fallline.optim.newton import Newton
from fallline.optim.schedule_free import keeps_average
from fallline.racing.arms.default_arms import ADAPTIVE, DEFAULT_ARMS, PLAIN
from fallline.symbolic import Rule
from fallline.training.updates import LaneRule

Space = Mapping[str, tuple[float, float]]

#: The spaces of optimizer classes' learning rates, by their name in lower case.
_CLASS_SPACES = {
    "sgd": PLAIN, "adagrad": PLAIN, "adadelta": (1e-3, 100.0), "rmsprop": ADAPTIVE, "adam": ADAPTIVE,
    "adamw": ADAPTIVE, "nadam": ADAPTIVE, "radam": (1e-5, 1.0), "adamax": ADAPTIVE, "muon": (1e-5, 1.0),
    "adafactor": (1e-4, 1.0), "soap": ADAPTIVE,
}  # fmt: skip
_DECADES = 5
_NEED_CLOSURE = (torch.optim.LBFGS, LookAheadNesterov, Newton)


@dataclass(frozen=True)
class Arm:
    """An entrant: `optimizer` is a rule or a torch optimizer class.

    `space` gives each searched hyperparameter the ends of a log-uniform range; `fixed` holds what else should differ
    from the published defaults. Raises ValueError or TypeError, naming the argument, for what can't be searched.

    >>> from fallline import rules
    >>> Arm("calm", rules.momentum, fixed={"momentum": 0.5}).space
    {'lr': (0.0001, 10.0)}
    """

    name: str
    optimizer: Rule | type[torch.optim.Optimizer]
    space: Space = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.name or not isinstance(self.name, str):
            raise ValueError(f"an arm needs a name; got {self.name!r}")
        if isinstance(self.optimizer, type):
            # A class that is one rule and nothing else enters as that rule, which lanes can share a kernel of.
            object.__setattr__(self, "optimizer", vars(self.optimizer).get("follows", self.optimizer))
        self._check_steps()
        if not self.space:
            if "lr" in self.fixed:
                raise ValueError(
                    f"arm '{self.name}' fixes 'lr', which is what a race searches; give space={{'lr': (low, high)}}"
                )
            object.__setattr__(self, "space", {"lr": self._default_space()})
        for name, ends in self.space.items():
            if name in self.fixed:
                raise ValueError(f"arm '{self.name}' has '{name}' both in its space and in fixed; take it out of one")
            if not _is_range(ends):
                raise ValueError(
                    f"the space of '{name}' in arm '{self.name}' is {ends!r}; "
                    "it must be (low, high) with 0 < low < high"
                )
        for name in (*self.space, *self.fixed):
            self._check_known(name)
        missing = [
            name for name, default in self._hyperparameters().items() if default is None and name not in self._given()
        ]
        if missing:
            raise ValueError(f"arm '{self.name}' has no value for '{missing[0]}': put it into its space or into fixed")

    def _check_steps(self) -> None:
        """Refuse what a race can't step with or can't evaluate."""
        is_class = isinstance(self.optimizer, type) and issubclass(self.optimizer, torch.optim.Optimizer)
        if (isinstance(self.optimizer, Rule) and keeps_average(self.optimizer)) or (
            is_class and hasattr(self.optimizer, "train") and hasattr(self.optimizer, "eval")
        ):
            raise ValueError(
                f"arm '{self.name}' is Schedule-Free, which is to be evaluated at the average of its weights; a race "
                "can't evaluate averages yet, so leave it out, and train with it by fallline.fit"
            )
        if isinstance(self.optimizer, type) and issubclass(self.optimizer, _NEED_CLOSURE):
            raise ValueError(
                f"arm '{self.name}': {self.optimizer.__name__} needs a closure that evaluates the batch again, and a "
                "race takes plain steps; leave it out, and train with it by fallline.fit"
            )

    def _given(self) -> set[str]:
        return {*self.space, *self.fixed}

    def _hyperparameters(self) -> dict[str, Any]:
        """Names with defaults; None where there is none."""
        if isinstance(self.optimizer, Rule):
            return dict(self.optimizer.hyperparameters)
        if isinstance(self.optimizer, type) and issubclass(self.optimizer, torch.optim.Optimizer):
            parameters = list(inspect.signature(self.optimizer).parameters.values())[1:]
            return {
                p.name: ... if p.default is None else None if p.default is p.empty else p.default for p in parameters
            }
        raise TypeError(
            f"the optimizer of arm '{self.name}' is {self.optimizer!r}; "
            "it must be a rule or a torch.optim.Optimizer class"
        )

    def _default_space(self) -> tuple[float, float]:
        if isinstance(self.optimizer, type) and self.optimizer.__name__.lower() in _CLASS_SPACES:
            return _CLASS_SPACES[self.optimizer.__name__.lower()]
        known = next((ends for rule, ends in DEFAULT_ARMS.values() if rule is self.optimizer), None)
        if known is not None:
            return known
        default = self._hyperparameters().get("lr")
        if not isinstance(default, (int, float)) or isinstance(default, bool) or not default > 0:
            raise ValueError(
                f"arm '{self.name}' has no learning rate 'lr' with a default to search around; "
                "give space={'name': (low, high)}"
            )
        return default * 10 ** (-_DECADES / 2), default * 10 ** (_DECADES / 2)

    def _check_known(self, name: str) -> None:
        known = self._hyperparameters()
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"it has {', '.join(known)}"
            raise ValueError(f"arm '{self.name}' has no hyperparameter '{name}'; {hint}")

    @property
    def defaults(self) -> dict[str, Any]:
        """What stands while the space is searched."""
        if isinstance(self.optimizer, Rule):
            return {**self.optimizer.defaults, **self.fixed}
        return dict(self.fixed)

    @property
    def fixed_values(self) -> dict[str, Any]:
        """The hyperparameters that are not searched."""
        return {name: value for name, value in self.defaults.items() if name not in self.space}

    @property
    def bytes_per_parameter(self) -> float:
        """Bytes that a step moves for each float32 parameter; NaN where they are not known."""
        if not isinstance(self.optimizer, Rule):
            return math.nan
        static = {name: self.defaults[name] for name in self.optimizer.static}
        return float(self.optimizer.cost(**static).bytes_moved)

    def lane(self, configuration: Mapping[str, float]) -> LaneRule:
        """What moves a lane with this configuration."""
        return LaneRule(self.optimizer, {**self.defaults, **configuration})

    def make(self, params: Iterable[Any], configuration: Mapping[str, float]) -> torch.optim.Optimizer:
        """A torch optimizer with this configuration."""
        values = {**self.defaults, **configuration}
        if isinstance(self.optimizer, Rule):
            return Optimizer(params, self.optimizer, **values)
        return self.optimizer(params, **values)

    def points(self, count: int, seed: int) -> list[dict[str, float]]:
        """Scrambled Sobol points of the space, a draw of the arm's own that follows from its name and the seed."""
        from scipy.stats import qmc

        own = np.random.default_rng([seed, zlib.crc32(self.name.encode())])
        sampler = qmc.Sobol(len(self.space), scramble=True, rng=own)
        unit = sampler.random_base2(math.ceil(math.log2(max(2, count))))[:count]
        low, high = (np.log([ends[side] for ends in self.space.values()]) for side in (0, 1))
        values = np.exp(low + unit * (high - low))
        return [dict(zip(self.space, map(float, row), strict=True)) for row in values]


def _is_range(ends: Any) -> bool:
    """Whether something is (low, high) with 0 < low < high."""
    if not isinstance(ends, (tuple, list)) or len(ends) != 2 or not all(isinstance(end, (int, float)) for end in ends):
        return False
    return bool(0 < ends[0] < ends[1] < math.inf)
