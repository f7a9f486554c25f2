"""What is said while a race runs: how long the rest takes, and that other work has come or gone."""

from __future__ import annotations

import pytest

from fallline.racing.forecast import Forecast
from fallline.racing.runs import Progress


class Told:
    """A forecast by a clock of the test's own, fed second by second."""

    def __init__(self, slots: int = 2, processors: int = 2) -> None:
        self.now, self.progress, self.notes = 0.0, Progress(), list[str]()
        self.forecast = Forecast(slots, processors, self.notes.append, lambda: self.now)
        self.slots = slots

    def run(self, seconds: int, rate: int, share: float) -> tuple[float, float] | None:
        """So many seconds of so many steps each, in which the processes had so much of the processors."""
        left = None
        for _ in range(seconds):
            self.now += 1
            self.progress += Progress(rate, self.slots * share, self.slots * (1 - share))
            left = self.forecast.update(self.progress)
        return left


def test_nothing_is_said_before_something_is_known() -> None:
    told = Told()
    told.forecast.begin(1000)
    assert told.forecast.update(Progress(10)) is None
    told.now = 2.0
    assert told.forecast.update(Progress(0)) is None


def test_steady_steps_leave_no_doubt() -> None:
    told = Told()
    told.forecast.begin(1000)
    assert told.run(10, 10, 1.0) == (90, 90)
    assert not told.notes


def test_the_range_holds_the_pace_of_before_and_of_now() -> None:
    told = Told()
    told.forecast.begin(1000)
    told.run(10, 40, 1.0)
    assert told.run(10, 10, 1.0) == (500 / 25, 500 / 10)


def test_what_is_long_ago_does_not_count() -> None:
    told = Told()
    told.forecast.begin(100_000)
    told.run(100, 40, 1.0)
    assert told.run(60, 10, 1.0) == (9540, 9540)


def test_other_work_is_told_once_when_it_comes_and_once_when_it_goes() -> None:
    told = Told()
    told.forecast.begin(10_000)
    told.run(20, 100, 1.0)
    told.run(60, 25, 0.25)
    told.run(40, 100, 1.0)
    came, went = told.notes
    assert came.startswith("Other work runs on this machine: about 5 minutes instead of about 78 seconds.")
    assert went.startswith("The other work on this machine is over: about ")


@pytest.mark.parametrize(
    ("slots", "processors", "share", "steps"), [(8, 2, 0.25, 10_000), (2, 2, 0.75, 10_000), (2, 2, 0.25, 300)],
    ids=["more processes than processors", "a little", "soon over"],
)  # fmt: skip
def test_what_is_not_worth_a_line(slots: int, processors: int, share: float, steps: int) -> None:
    told = Told(slots, processors)
    told.forecast.begin(steps)
    told.run(20, 25, share)
    assert not told.notes
