"""The schedules of all lanes: equal ones are evaluated once a step."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import numpy as np
from numpy.typing import NDArray

from fallline.schedules import Schedule

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
