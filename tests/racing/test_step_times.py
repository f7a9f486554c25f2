"""Step times and who is called cheapest, by a clock whose noise is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import nn

import fallline as fl
from fallline._text import duration, duration_range
from fallline.racing import Arm
from fallline.racing.judging.pairs import faster
from fallline.racing.judging.records import Entry, Final, Trial
from fallline.racing.judging.verdict import decide
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


def sentence(found: Sequence[Sequence[float]], moved: Sequence[float]) -> str:
    """What a tie of arms with these step times says of their cost."""
    arms = []
    for name, seconds, count in zip("abcdefghijkl", found, moved, strict=False):
        finals = tuple(Final(place, np.full(10, 0.3), np.zeros(10, dtype=bool), None) for place in (0, 1))
        trials = (Trial({"lr": 0.1}, 0.3, False), Trial({"lr": 0.2}, 0.3, False))
        arms.append(Entry(name, trials, finals, {}, count, seconds))
    verdict = decide(arms, higher_is_better=False, untrained=2.3)
    assert "step" not in verdict.conclusion
    return verdict.sentence.split("; ")[1]


@pytest.mark.parametrize("arms", [2, 3, 12])
def test_equal_costs_are_never_told_apart_however_noisy_the_clock(arms: int) -> None:
    for seed in range(40 if arms < 12 else 20):
        assert not faster(np.array(times([1e-4] * arms, seed=seed))).any()


@pytest.mark.parametrize(("arms", "disturbance", "fewest"), [(2, 1.0, 20), (12, 0.3, 14), (12, 0.0, 20)])
def test_half_the_cost_is_told(arms: int, disturbance: float, fewest: int) -> None:
    costs = [1e-4, *[2e-4] * (arms - 1)]
    told = [faster(np.array(times(costs, seed=seed, disturbance=disturbance))) for seed in range(20)]
    assert not any(one[:, 0].any() for one in told)  # nobody is faster than the fastest
    assert sum(bool(one[0, 1:].all()) for one in told) >= fewest


@pytest.mark.parametrize("seed", range(5))
def test_the_sentence_names_what_the_clock_tells_and_else_the_bytes(seed: int) -> None:
    cheap = sentence(times([2e-4, 1e-4], seed=seed), (12.0, 28.0))
    assert cheap.startswith("b is cheaper with a step of ")
    assert cheap.endswith(").")
    alike = sentence(times([1e-4, 1e-4], seed=seed), (28.0, 12.0))
    assert alike == "step times can't be told apart here, where b moves the fewest bytes."


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
    found = np.array(times([10.0, 30.0], seed=0, disturbance=0.0))
    assert found.shape[1] < np.array(times([1e-4, 3e-4], seed=0)).shape[1]
    assert faster(found).tolist() == [[False, True], [False, False]]


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
        finals = (Final(0, np.full(2, 0.3), np.zeros(2, dtype=bool), None),)
        return Entry("a", (Trial({}, 0.3, False),), finals, {}, 12.0, seconds)

    rounds = entry([1e-3 * (1 + place) for place in range(9)] + [5.0]).step_time
    assert (rounds.value, rounds.low, rounds.high) == pytest.approx((5.5e-3, 2e-3, 9e-3))
    assert (duration(rounds), duration_range(rounds)) == ("5.5 ms (2 to 9)", "2 to 9 ms")
    for few in (1e-3, [1e-3], [1e-3, 1e-3, 1e-3]):
        alone = entry(few).step_time
        assert not alone.has_interval
        assert (duration(alone), duration_range(alone)) == ("1 ms", "1 ms")
