"""The numbers that lanes give the rule that they share: hyperparameters, step counts, states that are numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fallline.kernels import HostScalars
from fallline.symbolic import Rule
from fallline.training.updates.lane_rule import LaneRule
from fallline.training.updates.schedule_factors import NO_SCHEDULE, ScheduleFactors

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
