"""Step times, and who takes longer, by a clock whose noise is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import nn

import fallline as fl
from fallline._text import duration, duration_range
from fallline.racing import Arm
from fallline.racing.decision import Speed, Speeds
from fallline.racing.decision.speed import in_time
from fallline.racing.judging.records import Entry, Final, Trial
from fallline.racing.solo import solo_seconds, timed


class BusyMachine:
    """A clock that each step moves by its cost, and now and then by what else the machine does: a hundredfold, too."""

    def __init__(self, seed: int, disturbance: float = 1.0) -> None:
        self.now, self.disturbance = 0.0, disturbance
        self._rng = np.random.default_rng(seed)
        self._load = 1.0
        self.steps = 0

    def __call__(self) -> float:
        return self.now

    def stepper(self, cost: float) -> Callable[[], Callable[[], None]]:
        def step() -> None:
            self.steps += 1
            if self._rng.random() < 0.02:  # another load for a while
                self._load = 1 + self.disturbance * float(self._rng.pareto(1.0))
            self.now += cost * self._load * (1 + 0.1 * self.disturbance * float(self._rng.pareto(1.5)))

        return lambda: step


def times(costs: Sequence[float], *, seed: int, disturbance: float = 1.0) -> list[list[float]]:
    machine = BusyMachine(seed, disturbance)
    return timed([machine.stepper(cost) for cost in costs], machine)


def told(seconds: list[list[float]], ratio: float = 1.0) -> list[int]:
    """Whether each arm but the first takes longer for certain (1), less (-1), or neither; all need as many steps."""
    names = [str(place) for place in range(len(seconds))]
    speeds = Speeds(0.5, 100.0, {name: Speed(ratio, ratio, ratio, 0) for name in names})
    found = in_time(speeds, "0", dict(zip(names, seconds, strict=True))).of
    assert found["0"].low == found["0"].high == 1.0
    return [(found[name].low > 1) - (found[name].high < 1) for name in names[1:]]


@pytest.mark.parametrize("arms", [2, 3, 12])
def test_equal_costs_are_never_told_apart_however_noisy_the_clock(arms: int) -> None:
    for seed in range(40 if arms < 12 else 20):
        assert not any(told(times([1e-4] * arms, seed=seed)))


@pytest.mark.parametrize(("arms", "disturbance", "fewest"), [(2, 1.0, 20), (12, 0.3, 14), (12, 0.0, 20)])
@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_half_the_cost_is_told(arms: int, disturbance: float, fewest: int, factor: float) -> None:
    costs = [1e-4, *[factor * 1e-4] * (arms - 1)]
    found = [told(times(costs, seed=seed, disturbance=disturbance)) for seed in range(20)]
    side = 1 if factor > 1 else -1
    assert not any(-side in one for one in found)
    assert sum(one == [side] * (arms - 1) for one in found) >= fewest


def test_fewer_steps_outweigh_a_longer_one() -> None:
    assert told(times([1e-4, 2e-4], seed=0, disturbance=0.0), ratio=0.25) == [-1]


def test_too_few_rounds_tell_nothing() -> None:
    assert told([[1e-4] * 5, [1.0] * 5]) == [0]


def test_each_round_times_every_arm_in_another_order() -> None:
    order: list[int] = []
    now = [0.0]

    def stepper(place: int) -> Callable[[], Callable[[], None]]:
        def step() -> None:
            now[0] += 1.0
            order.append(place)

        return lambda: step

    found = timed([stepper(place) for place in range(4)], lambda: now[0])
    steps = len(order) // (4 * len(found[0]))
    rounds = np.array(order).reshape(-1, 4, steps)
    assert (rounds == rounds[:, :, :1]).all()  # each arm's steps together
    assert (np.sort(rounds[:, :, 0], axis=1) == np.arange(4)).all()
    assert len({tuple(one) for one in rounds[:, :, 0].tolist()}) > 5


def test_slow_steps_get_fewer_rounds_that_can_still_tell_two_apart() -> None:
    found = times([10.0, 30.0], seed=0, disturbance=0.0)
    assert len(found[0]) < len(times([1e-4, 3e-4], seed=0)[0])
    assert told(found) == [1]


def tiny() -> fl.Problem:
    x = torch.zeros(8, 2)
    return fl.Problem(
        model=lambda: nn.Linear(2, 1), loss=nn.functional.mse_loss, train=(x, x[:, :1]), valid=(x, x[:, :1]),
        test=(x, x[:, :1]), batch=4, epochs=1,
    )  # fmt: skip


@pytest.mark.parametrize("memory", [2**30, 1])
def test_arms_are_timed_in_the_same_rounds_however_large_their_models(
    memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fallline.racing.solo._BYTES", memory)
    built: list[int] = []
    build = fl.Problem.build

    def counted(self: fl.Problem, seed: int) -> nn.Module:
        built.append(seed)
        return build(self, seed)

    monkeypatch.setattr(fl.Problem, "build", counted)
    arms = [Arm(name, torch.optim.SGD, {"lr": (1e-3, 0.1)}) for name in ("one", "two")]
    found = solo_seconds(tiny(), [(arm, {"lr": 0.01}) for arm in arms])
    (rounds,) = {len(one) for one in found}
    assert (len(built) >= 2 * rounds) == (memory == 1)  # made anew for every round
    assert all(seconds > 0 for one in found for seconds in one)


def test_a_time_is_told_with_its_interval_over_the_rounds() -> None:
    def entry(seconds: float | Sequence[float]) -> Entry:
        finals = (Final(0, np.full(2, 0.3), np.zeros(2, dtype=bool)),)
        return Entry("a", (Trial({}, 0.3, False),), finals, {}, 12.0, seconds)

    rounds = entry([1e-3 * (1 + place) for place in range(9)] + [5.0]).step_time
    assert (rounds.value, rounds.low, rounds.high) == pytest.approx((5.5e-3, 2e-3, 9e-3))
    assert (duration(rounds), duration_range(rounds)) == ("5.5 ms (2 to 9)", "2 to 9 ms")
    for few in (1e-3, [1e-3], [1e-3, 1e-3, 1e-3]):
        alone = entry(few).step_time
        assert not alone.has_interval
        assert (duration(alone), duration_range(alone)) == ("1 ms", "1 ms")
