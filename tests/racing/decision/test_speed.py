from __future__ import annotations

import math

import numpy as np
import pytest

from fallline.racing.decision import decide
from fallline.racing.decision.records import Floats
from fallline.racing.decision.speed import shared_level, steps_to
from tests.racing.decision.cases import given, searched

NAN, INF = math.nan, math.inf
STEPS = np.array([10.0, 20.0, 30.0, 40.0])


@pytest.mark.parametrize(
    ("curve", "level", "steps"),
    [
        ([8.0, 4.0, 2.0, 1.0], 4.0, 20.0),
        ([8.0, 4.0, 2.0, 1.0], math.sqrt(8.0), 25.0),  # equal shares in equal steps
        ([8.0, 4.0, 2.0, 1.0], 8.0, 10.0),
        ([8.0, 4.0, 2.0, 1.0], 9.0, 10.0),  # before the first evaluation: not known to be earlier
        ([8.0, 2.0, 4.0, 1.0], 4.0, 15.0),  # once there is enough
        ([8.0, 9.0, 2.0, 1.0], 4.0, 25.0),  # from the best so far
        ([8.0, 8.0, 2.0, 1.0], 4.0, 25.0),
        ([8.0, NAN, 2.0, 1.0], 4.0, 25.0),
        ([INF, INF, 2.0, 1.0], 4.0, 30.0),
        ([NAN, 4.0, 2.0, 1.0], 4.0, 20.0),
        ([2.0, 0.0, 0.0, 0.0], 1.0, 15.0),  # no logarithm of zero: equal amounts
        ([1.0, -1.0, -2.0, -3.0], 0.0, 15.0),
        ([-1.0, -2.0, -3.0, -4.0], -2.5, 25.0),
        ([8.0, 4.0, 2.0, 1.0], 0.5, None),
        ([NAN, NAN, NAN, NAN], 0.5, None),
    ],
)
def test_steps_to_a_level(curve: list[float], level: float, steps: float | None) -> None:
    found, reached = steps_to(np.array([[curve]]), STEPS, level)
    assert found.shape == reached.shape == (1, 1)
    assert found[0, 0] == pytest.approx(40.0 if steps is None else steps)
    assert reached[0, 0] == (steps is not None)


@pytest.mark.parametrize(
    ("ends", "level"),
    [
        ([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]], 9.0),  # nine in ten
        ([[1.0] * 9, [2.0] * 9], 2.0),
        ([[1.0] * 9 + [5.0], [2.0] * 10], 2.0),
        ([[1.0, 5.0]], 5.0),
        ([list(range(20, 0, -1))], 18.0),
        ([[1.0] * 9 + [NAN]], 1.0),
        ([[1.0] * 8 + [NAN] * 2], 99.0),
        ([[1.0] * 10, [-INF] * 10], 99.0),
    ],
)
def test_the_level_that_nine_in_ten_runs_of_each_reach(ends: list[list[float]], level: float | None) -> None:
    curves = [np.array([[99.0, end, 99.0] for end in one]) for one in ends]
    assert shared_level(curves) == level


def decaying(rates: Floats, steps: Floats) -> Floats:
    return np.exp(-rates[:, None] * steps)


def test_ratios_of_exact_rates_are_exact() -> None:
    steps = np.arange(1.0, 101.0)
    rates = np.linspace(0.05, 0.06, 10)
    noise = np.random.default_rng(0).standard_normal(10)
    arms = [
        given("a", noise, curves=decaying(rates, steps)),
        given("b", noise[::-1], curves=decaying(rates / 2, steps)),
        given("c", np.roll(noise, 3), curves=decaying(rates * 1.5, steps)),
    ]
    made = decide(arms, higher_is_better=False, steps=steps)
    assert made.take is not None
    speeds = made.speeds
    assert speeds is not None
    scale = {"a": 1.0, "b": 2.0, "c": 2 / 3}
    for name, one in speeds.of.items():
        ratio = scale[name] / scale[made.take.arm]
        assert (one.ratio, one.low, one.high) == pytest.approx((ratio, ratio, ratio), rel=0.02)
    assert all(one.missed <= 1 for one in speeds.of.values())


def test_an_arm_that_misses_has_no_ratio_but_a_lower_end() -> None:
    steps = np.arange(10.0, 210.0, 10.0)
    rng = np.random.default_rng(0)
    fast, slow = rng.uniform(0.02, 0.022, 10), rng.uniform(0.002, 0.003, 10)
    noise = 0.01 * rng.standard_normal(10)
    arms = [given("a", noise, curves=decaying(fast, steps)),
            given("b", noise[::-1], curves=decaying(fast[::-1], steps)),
            given("c", 1 + noise, curves=decaying(slow, steps))]  # fmt: skip
    made = decide(arms, higher_is_better=False, steps=steps)
    assert list(made.behind) == ["c"]
    speeds = made.speeds
    assert speeds is not None
    missed = speeds.of["c"]
    assert math.isnan(missed.ratio)
    assert missed.low > 1
    assert missed.high == math.inf
    assert missed.missed == 10
    assert made.to_json()["speed"]["c"] == [None, missed.low, None]
    assert any(line == f"For certain more steps, at theirs: c at least {missed.low:.2f} times." for line in made.lines)


def test_with_one_arm_ahead_the_level_is_that_of_the_best_two() -> None:
    steps = np.arange(1.0, 101.0)
    noise = 0.01 * np.random.default_rng(0).standard_normal(10)
    rates = np.linspace(0.05, 0.06, 10)
    arms = [given("a", noise, curves=decaying(rates, steps)),
            given("b", 1 + noise[::-1], curves=decaying(rates / 2, steps)),
            given("c", 2 + noise, curves=decaying(rates / 100, steps))]  # fmt: skip
    made = decide(arms, higher_is_better=False, steps=steps)
    assert made.winner == "a"
    assert made.speeds is not None
    assert made.speeds.of["b"].ratio == pytest.approx(2.0, rel=0.02)
    assert math.isnan(made.speeds.of["c"].ratio)


def test_speed_is_that_of_the_settings_taken() -> None:
    """How much the other finalists differ from it in speed has no say."""
    steps = np.arange(1.0, 101.0)

    def width(spread: float) -> float:
        arms = []
        for name in "ab":
            rng = np.random.default_rng(ord(name))
            best = np.arange(5)[:, None] == 0
            rates = 0.05 * np.exp(0.01 * rng.standard_normal((5, 10)) + np.where(best, 0, spread))
            curves = np.exp(-rates[..., None] * steps)
            arms.append(searched(name, 0.3, rng, noise=0.05, curves=curves))
        found = decide(arms, higher_is_better=False, steps=steps)
        assert found.speeds is not None
        assert found.take is not None
        one = found.speeds.of["b" if found.take.arm == "a" else "a"]
        return math.log(one.high / one.low)

    assert width(0.3) == pytest.approx(width(0.0))
    assert width(0.0) > 0


def test_a_level_that_an_arm_reached_before_the_first_evaluation_tells_nothing() -> None:
    steps = np.array([0.0, 10.0, 20.0])
    noise = 0.01 * np.random.default_rng(0).standard_normal(10)
    arms = [
        given(name, noise, curves=np.tile([1.0, end, 0.9 * end], (10, 1))) for name, end in (("a", 0.1), ("b", 0.3))
    ]
    made = decide(arms, higher_is_better=False, steps=steps)
    assert made.speeds is None


def test_a_level_that_stood_before_training_tells_nothing() -> None:
    arms = [given(name, np.linspace(0, 1, 5), curves=np.tile([1.0, 2.0], (5, 1))) for name in "ab"]
    assert decide(arms, higher_is_better=False, steps=[0.0, 10.0]).speeds is None


@pytest.mark.parametrize("steps", [[], [1.0], [2.0, 1.0], [1.0, 1.0], [-1.0, 1.0], [1.0, 2.0, 3.0], [1.0, NAN]])
def test_steps_must_be_those_of_the_curves(steps: list[float]) -> None:
    arms = [given(name, np.linspace(0, 1, 5), curves=np.ones((5, 2))) for name in "ab"]
    with pytest.raises(ValueError, match="steps must be the rising numbers, from 0"):
        decide(arms, higher_is_better=False, steps=steps)


def test_arms_without_curves_have_no_speed() -> None:
    arms = [given(name, np.linspace(0, 1, 5)) for name in "ab"]
    assert decide(arms, higher_is_better=False).speeds is None
    with pytest.raises(ValueError, match="steps must be"):
        decide(arms, higher_is_better=False, steps=[1.0, 2.0])


def test_one_run_in_ten_may_miss_the_level_of_its_own_arm() -> None:
    steps = np.arange(1.0, 101.0)
    curves = decaying(np.append(np.full(9, 0.05), 0.01), steps)
    arms = [given(name, np.linspace(0, 1, 10), curves=curves) for name in "ab"]
    made = decide(arms, higher_is_better=False, steps=steps)
    assert made.speeds is not None
    assert (made.speeds.level, made.speeds.steps) == pytest.approx((math.exp(-5), 100.0))
    assert [(one.ratio, one.low, one.high, one.missed) for one in made.speeds.of.values()] == [(1.0, 1.0, 1.0, 1)] * 2
    assert "Runs that missed it: a in 1 of 10 and b in 1 of 10; they count as having needed every step." in made.lines
