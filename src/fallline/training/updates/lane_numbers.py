"""The numbers that lanes give their rule: hyperparameters, schedules, step counts, number states."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from fallline.kernels import Given, Section, host_scalars
from fallline.schedules import Schedule
from fallline.symbolic import Plan, Rule
from fallline.training.updates.lane_rule import LaneRule


class LaneNumbers:
    """What the scalar expressions of a rule may name, for T tensors of L lanes each.

    `dimensions` [T] are those of each lane's tensors. Every lane has its own numbers, in arrays that no number of
    another lane has a part in, so that lanes may join and leave at any step.
    """

    def __init__(self, rule: Rule, plan: Plan, dimensions: Sequence[int], factors: ScheduleFactors) -> None:
        self._rule = rule
        self._factors = factors
        self._dimensions = np.array(dimensions, np.float64)
        #: Whether a lane's tensors have numbers of their own; else they share them, and rows are the lanes.
        own = bool(rule.number_states) or "dimensions" in host_scalars(plan).names
        self._tensors, self.copies = (len(dimensions), 1) if own else (1, len(dimensions))
        #: The hyperparameters [L], as they are without a schedule.
        self.values = {name: np.empty(0) for name in rule.hyperparameters if name not in rule.static}
        self._states = {spec.name: np.empty((len(dimensions), 0)) for spec in rule.number_states}
        self._begun = np.empty(0)
        self._places = np.empty(0, np.int64)
        #: The lanes [L] that have not taken a step.
        self.new = np.empty(0, np.bool_)

    def join(self, lanes: Sequence[LaneRule], begun: Sequence[int]) -> None:
        """Take up lanes, each after the step of the run at which its rule begins, 0 for the first."""
        for name, values in self.values.items():
            self.values[name] = np.append(values, [float(lane.values[name]) for lane in lanes])
        for spec in self._rule.number_states:
            fresh = np.full((len(self._dimensions), len(lanes)), spec.fill)
            self._states[spec.name] = np.hstack([self._states[spec.name], fresh])
        self._begun = np.append(self._begun, begun)
        self._places = np.append(self._places, [self._factors.place(lane.schedule) for lane in lanes])
        self.new = np.append(self.new, np.full(len(lanes), True))

    def keep(self, chosen: NDArray[np.bool_]) -> None:
        """Forget the lanes where `chosen` [L] is false."""
        self.values = {name: values[chosen] for name, values in self.values.items()}
        self._states = {name: states[:, chosen] for name, states in self._states.items()}
        self._begun, self._places, self.new = self._begun[chosen], self._places[chosen], self.new[chosen]

    def rows(self) -> Given:
        """What the numbers of the rows follow from until lanes come or go; `advance` brings it to each step."""
        still = {name: np.tile(values, self._tensors) for name, values in self.values.items()}
        if self._tensors == len(self._dimensions):
            still["dimensions"] = np.repeat(self._dimensions, len(self._begun))
        absent = {spec.absent: np.tile(self.new * 1.0, self._tensors) for spec in self._rule.tensor_states}
        self._after = np.tile(self._begun, self._tensors)
        self._varying = {"t": np.empty_like(self._after)}
        self._distinct, self._which = np.unique(self._places, return_inverse=True)
        if (self._places != NO_SCHEDULE).any():
            self._varying["lr"] = np.empty_like(self._after)
        # One run of memory, so that what is written to the rows is written to the states.
        self._states = {name: np.ascontiguousarray(states) for name, states in self._states.items()}
        kept = {name: states.reshape(-1) for name, states in self._states.items()}
        sections = [Section(0, len(self._after), still)]
        return Given(sections, {**self._varying, **kept}, absent, [*kept.values()], apart=True)

    def advance(self, step: int) -> None:
        """Set the step counts, and the learning rates that follow schedules, for a step of the run."""
        np.subtract(step, self._after, out=self._varying["t"])
        if "lr" in self._varying:
            factors = self._factors.at(step, self._distinct.tolist())[self._which]
            self._varying["lr"][:] = np.tile(self.values["lr"] * factors, self._tensors)


#: The place of lanes without a schedule, whose factor is always 1.
NO_SCHEDULE = 0


class ScheduleFactors:
    """The factors of schedules at a step, by the places that the schedules were given.

    >>> from fallline.schedules import exponential
    >>> factors = ScheduleFactors()
    >>> places = [factors.place(schedule) for schedule in (None, exponential(0.5), exponential(0.5))]
    >>> places, factors.at(3, places).tolist()
    ([0, 1, 1], [1.0, 0.25, 0.25])
    """

    def __init__(self) -> None:
        self._schedules: list[Callable[[int], float]] = [lambda step: 1.0]
        self._places: dict[Hashable, int] = {None: NO_SCHEDULE}
        self._step = 0
        self._known: dict[int, float] = {}

    def place(self, schedule: Schedule | None) -> int:
        """Give a schedule its place: that of an equal one, where there is one."""
        place = self._places.setdefault(_key(schedule), len(self._schedules))
        if schedule is not None and place == len(self._schedules):
            self._schedules.append(schedule)
        return place

    def at(self, step: int, places: Sequence[int]) -> NDArray[np.float64]:
        """Return the factors of these places at a step of the run, counted from 1."""
        if step != self._step:
            self._step, self._known = step, {}
        for place in places:
            if place not in self._known:
                self._known[place] = self._schedules[place](step - 1)
        return np.array([self._known[place] for place in places])


def _key(schedule: Schedule | None) -> Hashable:
    try:
        hash(schedule)
    except TypeError:  # the arguments of a person's own law may be anything
        return id(schedule)
    return schedule
