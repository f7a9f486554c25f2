"""An arm of whatever a person gives for one, and arms of two phases, each given so."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from fallline import rules
from fallline._asked import did_you_mean
from fallline.optim.method_name import find_method
from fallline.racing.arms.arm import Arm, Space
from fallline.racing.arms.dimensions import Range
from fallline.racing.arms.methods import all_names, check_name, own_name, said
from fallline.racing.arms.settings import SHARED, check_values, dimensions, offered, shared_dimension
from fallline.racing.arms.typed import is_setting, typed_arm
from fallline.schedules import Schedule
from fallline.symbolic import Rule
from fallline.training import Problem
from fallline.training.updates import LaneRule

_OF_THE_RUN = (*SHARED, "switch")
_SWITCH = Range(0.1, 0.9, "linear")
_SECOND = "_2"


def as_arm(entrant: Any) -> Arm:
    """One arm from a name, a rule, a class, a function or an arm. Raises as `as_arms` does."""
    if isinstance(entrant, Arm):
        return entrant
    if isinstance(entrant, (Rule, type, functools.partial)) or inspect.isfunction(entrant):
        return Arm(own_name(entrant), entrant)
    if isinstance(entrant, torch.optim.Optimizer):
        kind = type(entrant).__name__
        raise TypeError(
            f"an arm makes an optimizer for each of its runs; give the class {kind}, not one instance of it"
        )
    if not isinstance(entrant, str):
        raise TypeError(f"an arm is a name, a rule, a torch optimizer class or an Arm; got {said(entrant)}")
    if is_setting(entrant):
        return typed_arm(entrant)
    name = rules.plain_name(entrant)
    try:
        found = find_method(name)
    except LookupError as error:
        raise ValueError(f"there is no arm '{entrant}'; {did_you_mean(name, all_names())}") from error
    return as_arm(found) if isinstance(found, Rule) else Arm(name, found)


@dataclass(frozen=True, init=False)
class Phases(Arm):
    """An arm whose runs go on with `second` after a share `switch` of their steps; made by `Arm.phases`.

    What is searched or fixed of the second is called as it is there, with `_2` after it. A schedule goes over the whole
    run and serves both. The second begins with fresh states, from what the first would be evaluated at. `method` is the
    first's, and so are the optimizers that it makes. Raises ValueError unless there are two phases, neither with phases
    or a batch size, a schedule and a warm-up of its own.

    >>> arm = Phases("adam_then_sgd", ["adam", "sgd"], fixed={"switch": 0.5, "beta1": 0.8})
    >>> from fallline.problems import digits
    >>> lane = arm.recipe({"lr": 1e-3, "lr_2": 0.1}, digits()).lane
    >>> lane.rule, lane.values["beta1"], lane.then[0], lane.then[1].rule, lane.then[1].values
    (<rule adam>, 0.8, 170, <rule gradient_descent>, {'lr': 0.1})
    """

    first: Arm
    second: Arm

    def __init__(
        self, name: str, phases: Sequence[Any], space: Space | None = None, fixed: Mapping[str, Any] | None = None
    ) -> None:
        check_name(name)
        if isinstance(phases, str) or len(phases) != 2:
            raise ValueError(f"arm '{name}': phases must be two, such as ['adam', 'sgd']; got {phases!r}")
        spaces, fixes = split(space or {}), split(fixed or {})
        first, second = (
            _phase(name, as_arm(phase), its_space, its_fixed)
            for phase, its_space, its_fixed in zip(phases, spaces[:2], fixes[:2], strict=True)
        )
        of_run = dimensions(name, spaces[2], fixes[2])
        if "switch" not in {*of_run, *fixes[2]}:
            of_run["switch"] = _SWITCH
        known = (*_offered(first, second), "switch")
        strange = next((one for one in {*of_run, *fixes[2]} if one not in known), None)
        if strange is not None:
            raise ValueError(f"arm '{name}': '{strange}' moves a learning rate 'lr', and not both phases have one")
        check_values(name, known, of_run, fixes[2])
        self._set(
            name=name, method=first.method, first=first, second=second, origin=None,
            space={**first.space, **_as_second(second.space), **of_run},
            fixed={**first.fixed, **_as_second(second.fixed), **fixes[2]},
        )  # fmt: skip

    @property
    def family(self) -> str | None:
        """That of both phases; None where they are of two."""
        return self.first.family if self.first.family == self.second.family else None

    @property
    def searchable(self) -> tuple[str, ...]:
        """The names that `further` takes: what either phase has, and what the run has."""
        own = (*_own(self.first), *_own(self.second))
        return tuple(dict.fromkeys((*own, *_offered(self.first, self.second))))

    def further(self, names: Iterable[str], problem: Problem | None = None) -> Arm:
        """The arm with further dimensions in their default spaces, of each phase that has them."""
        names = list(names)
        phases = [phase.further([n for n in names if n in _own(phase)], problem) for phase in (self.first, self.second)]
        space, fixed = split(self.space)[2], split(self.fixed)[2]
        new = [n for n in _offered(self.first, self.second) if n in names and n not in {**space, **fixed}]
        added = {n: shared_dimension(n, problem) for n in new}
        return Phases(self.name, phases, {**space, **added}, fixed)

    @property
    def defaults(self) -> dict[str, Any]:
        """What stands while the space is searched."""
        return {**self.first.defaults, **_as_second(self.second.defaults), **split(self.fixed)[2]}

    @property
    def bytes_per_parameter(self) -> float:
        """Bytes that a step of the phase that moves more moves for each float32 parameter; NaN if not known."""
        moved = (self.first.bytes_per_parameter, self.second.bytes_per_parameter)
        return sum(moved) if any(one != one for one in moved) else max(moved)

    def report(self, configuration: Mapping[str, Any], problem: Problem) -> dict[str, Any]:
        """The configuration as searched and, where batch sizes differ, the run's own rates as `run_lr`, `run_lr_2`."""
        settings = self.settings(configuration)
        scale, (first, second, _) = self._scale(settings, problem), split(settings)
        phases = ((self.first, first, ""), (self.second, second, _SECOND)) if "batch" in settings else ()
        own = {f"run_lr{suffix}": phase._values(mine, scale)["lr"] for phase, mine, suffix in phases}
        return {**configuration, **own}

    def _lane(self, settings: Mapping[str, Any], scale: float, schedule: Schedule | None, steps: int) -> LaneRule:
        mine, its, _ = split(settings)
        first = self.first._lane(mine, scale, schedule, steps)
        if steps < 2:
            return first
        switch = min(max(1, round(float(settings["switch"]) * steps)), steps - 1)  # at least a step each
        return replace(first, then=(switch, self.second._lane(its, scale, schedule, steps)))

    def _made(self, params: Iterable[Any], settings: Mapping[str, Any], scale: float) -> torch.optim.Optimizer:
        return self.first._made(params, split(settings)[0], scale)


def split(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """What concerns the first phase, the second, and the run.

    >>> split({"lr": 0.1, "lr_2": 0.2, "batch": 32})
    ({'lr': 0.1}, {'lr': 0.2}, {'batch': 32})
    """
    run = {name: value for name, value in given.items() if name in _OF_THE_RUN}
    second = {name.removesuffix(_SECOND): value for name, value in given.items() if name.endswith(_SECOND)}
    first = {name: value for name, value in given.items() if name not in run and not name.endswith(_SECOND)}
    return first, second, run


def _as_second(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name + _SECOND: value for name, value in given.items()}


def _phase(arm: str, phase: Arm, space: Mapping[str, Any], fixed: Mapping[str, Any]) -> Arm:
    """A phase with the dimensions and values that were given for it in the whole arm."""
    strange = next((name for name in (*phase.space, *phase.fixed) if name in offered(phase.method)), None)
    if isinstance(phase, Phases) or strange is not None:
        what = "phases" if strange is None else f"a '{strange}'"
        raise ValueError(f"arm '{arm}': the phase '{phase.name}' has {what} of its own; give the whole arm's instead")
    left = {name: dimension for name, dimension in phase.space.items() if name not in fixed}
    return Arm(phase.name, phase.method, {**left, **space}, {**phase.fixed, **fixed})


def _own(phase: Arm) -> tuple[str, ...]:
    return tuple(name for name in phase.searchable if name not in offered(phase.method))


def _offered(first: Arm, second: Arm) -> tuple[str, ...]:
    return tuple(name for name in offered(first.method) if name in offered(second.method))


Arm._of_phases = Phases
