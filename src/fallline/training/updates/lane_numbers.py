"""The numbers that lanes give their rule: hyperparameters, schedules, step counts, number states."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from fallline.kernels import HostScalars
from fallline.schedules import Schedule
from fallline.symbolic import Rule
from fallline.training.updates.lane_rule import LaneRule

Numbers = NDArray[np.float64]


class LaneNumbers:
    """What a rule's scalar expressions may name, for T tensors of L lanes each.

    `dimensions` [T] are those of each lane's tensors. Every lane has its own numbers, in arrays that no number of
    another lane has a part in, so that lanes may join and leave at any step.
    """

    def __init__(self, rule: Rule, dimensions: Sequence[int], factors: ScheduleFactors) -> None:
        self._rule = rule
        self._factors = factors
        self._dimensions = np.array(dimensions, np.float64)
        self._values = {name: np.empty(0) for name in rule.hyperparameters if name not in rule.static}
        self._states = {spec.name: np.empty((len(dimensions), 0)) for spec in rule.number_states}
        self._begun = np.empty(0)
        self._places = np.empty(0, np.int64)
        self.new = np.empty(0, np.bool_)
        self._look_up()

    def join(self, lanes: Sequence[LaneRule], begun: Sequence[int]) -> None:
        """Take up lanes, each after the step of the run at which its rule begins, 0 for the first."""
        for name, values in self._values.items():
            self._values[name] = np.append(values, [float(lane.values[name]) for lane in lanes])
        for spec in self._rule.number_states:
            fresh = np.full((len(self._dimensions), len(lanes)), spec.fill)
            self._states[spec.name] = np.hstack([self._states[spec.name], fresh])
        self._begun = np.append(self._begun, begun)
        self._places = np.append(self._places, [self._factors.place(lane.schedule) for lane in lanes])
        self.new = np.append(self.new, np.full(len(lanes), True))
        self._look_up()

    def keep(self, chosen: NDArray[np.bool_]) -> None:
        """Forget the lanes where `chosen` [L] is false."""
        self._values = {name: values[chosen] for name, values in self._values.items()}
        self._states = {name: states[:, chosen] for name, states in self._states.items()}
        self._begun, self._places, self.new = self._begun[chosen], self._places[chosen], self.new[chosen]
        self._look_up()

    def values(self, name: str) -> Numbers:
        """A hyperparameter [L], as it is without a schedule."""
        return self._values[name]

    def change(self, scalars: HostScalars) -> bool:
        """Whether scalars change from step to step by themselves."""
        return bool(self._scheduled or "t" in scalars.names or self._states)

    def columns(self, scalars: HostScalars, step: int) -> Numbers:
        """Evaluate scalars [T, L, expressions]; [1, L, expressions] where a lane's tensors share them."""
        whole = bool(self._states) or "dimensions" in scalars.names
        return self._evaluated(scalars, self._given(step, len(self._dimensions) if whole else 1))

    def finish(self, becomes: HostScalars, totals: Numbers, step: int) -> None:
        """Take up what a step leaves: states that are numbers, from the sums `totals` [T * L, sums]."""
        if self._states:
            sums = {f"total_{i}": column for i, column in enumerate(totals.T)}
            new = self._evaluated(becomes, {**self._given(step, len(self._dimensions)), **sums})
            for states, column in zip(self._states.values(), np.moveaxis(new, 2, 0), strict=True):
                states[:] = column
        if self.new.any():
            self.new[:] = False
            self._still.clear()

    def _look_up(self) -> None:
        """Prepare what stays as it is until lanes come or go."""
        self._scheduled = bool((self._places != NO_SCHEDULE).any())
        self._distinct, self._which = np.unique(self._places, return_inverse=True)
        self._still: dict[int, dict[str, Numbers]] = {}

    def _given(self, step: int, tensors: int) -> dict[str, Numbers]:
        """Every name's numbers for so many tensors, one after the other, [tensors * L]."""
        still = self._still.get(tensors)
        if still is None:
            rows = {**self._values, **{spec.absent: self.new * 1.0 for spec in self._rule.tensor_states}}
            still = {name: np.tile(row, tensors) for name, row in {**rows, "t": self._begun}.items()}
            if tensors == len(self._dimensions):
                still["dimensions"] = np.repeat(self._dimensions, len(self._begun))
            self._still[tensors] = still
        given = {**still, "t": step - still["t"]}
        if self._scheduled:
            factors = self._factors.at(step, self._distinct.tolist())[self._which]
            given["lr"] = np.tile(self._values["lr"] * factors, tensors)
        return given | {name: states.reshape(-1) for name, states in self._states.items()}

    def _evaluated(self, scalars: HostScalars, given: dict[str, Numbers]) -> Numbers:
        rows = len(given["t"])
        return scalars.columns(given, rows).reshape(-1, len(self._begun), max(1, scalars.count))


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
        self._schedules: list[Schedule | None] = [None]
        self._places: dict[Hashable, int] = {None: NO_SCHEDULE}
        self._step = 0
        self._known: dict[int, float] = {}

    def place(self, schedule: Schedule | None) -> int:
        """Give a schedule its place: that of an equal one, where there is one."""
        place = self._places.setdefault(_key(schedule), len(self._schedules))
        if place == len(self._schedules):
            self._schedules.append(schedule)
        return place

    def at(self, step: int, places: Iterable[int]) -> NDArray[np.float64]:
        """Return the factors of these places at a step of the run, counted from 1."""
        if step != self._step:
            self._step, self._known = step, {NO_SCHEDULE: 1.0}
        return np.array([self._factor(place) for place in places])

    def _factor(self, place: int) -> float:
        if place not in self._known:
            schedule = self._schedules[place]
            assert schedule is not None
            self._known[place] = schedule(self._step - 1)
        return self._known[place]


def _key(schedule: Schedule | None) -> Hashable:
    try:
        hash(schedule)
    except TypeError:  # the arguments of a person's own law may be anything
        return id(schedule)
    return schedule
