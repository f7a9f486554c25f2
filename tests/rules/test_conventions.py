"""What sets conventions and methods apart, each by an example whose answer is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fallline import rules
from fallline.rules import adam, gradient_descent, maximize, momentum
from fallline.rules.ademamix import slow_decay
from fallline.symbolic import Rule
from tests.kernels.runner import numbers, reference
from tests.rules.paths import CURVATURES, START, Array, Gradient, gradient, path

# Under a gradient of 1 with μ = 1/2: one step at η = 1, then one at η = 1/4. The sum form scales all it has gathered.
DROPPED_RATE: dict[str, tuple[Rule, float]] = {
    "momentum": (momentum, 1 + 1.5 / 4),
    "velocity_momentum": (rules.velocity_momentum, 1 + 1 / 2 + 1 / 4),
    "nesterov": (rules.nesterov, (1 + 0.5) + (1 + 0.5 * 1.5) / 4),
    "velocity_nesterov": (rules.velocity_nesterov, (1 + 0.5) + (0.5 * (1 / 2 + 1 / 4) + 1 / 4)),
}


@pytest.mark.parametrize(("rule", "gone"), DROPPED_RATE.values(), ids=DROPPED_RATE)
def test_forms_of_momentum_part_when_the_rate_changes(rule: Rule, gone: float) -> None:
    places = path(rule, 2, lambda t: {"lr": 1.0 if t == 1 else 0.25, "momentum": 0.5}, np.ones_like)
    np.testing.assert_allclose(START - places[-1], gone, rtol=1e-12)


def test_the_velocity_form_of_nesterov_is_the_textbook_under_any_rates() -> None:
    rates = [0.1, 0.05, 0.2, 0.01, 0.1]
    found = path(rules.velocity_nesterov, 5, lambda t: {"lr": rates[t - 1], "momentum": 0.9})
    theta, v = START, np.zeros_like(START)
    for place, rate in zip(found, rates, strict=True):
        v = 0.9 * v - rate * gradient(theta + 0.9 * v)
        theta = theta + v
        np.testing.assert_allclose(place, theta + 0.9 * v, rtol=1e-12)


@pytest.mark.parametrize(("rule", "tolerance"), [(rules.adadelta, 1e-9), (adam, 1e-9), (rules.adagrad, 1e-9)])
def test_rescaling_the_loss_changes_nothing(rule: Rule, tolerance: float) -> None:
    def steep(scale: float) -> Gradient:
        return lambda x: scale * (CURVATURES + 2.5) * (x + 9)

    np.testing.assert_allclose(path(rule, 20, {}, steep(1e4)), path(rule, 20, {}, steep(1e8)), rtol=tolerance)


def test_adadelta_gathers_the_step_before_the_rate_scales_it() -> None:
    once, again = (path(rules.adadelta, 5, {"lr": lr}, np.ones_like) for lr in (1.0, 0.5))
    np.testing.assert_allclose(START - again, (START - once) / 2, rtol=1e-12)


# At β₂ = 0.999, ρ is 4.998 at the fifth step.
FIRST_RECTIFIED = [(rules.radam, 6), (rules.radam_paper, 5), (rules.radam_authors, 6)]


@pytest.mark.parametrize(("rule", "first"), FIRST_RECTIFIED)
def test_radam_rectifies_from_a_step_on(rule: Rule, first: int) -> None:
    places = [START, *path(rule, 10, {"lr": 1.0}, lambda x: np.full_like(x, 8.0))]
    lengths = -np.diff(places, axis=0)[:, 0]
    before = 0.0 if rule is rules.radam_authors else 8.0
    np.testing.assert_allclose(lengths[: first - 1], before)
    assert np.all((lengths[first - 1 :] > 0) & (lengths[first - 1 :] < 0.5))


@pytest.mark.parametrize("beta2", [0.0, 0.5, 0.6, 0.9, 0.999])
@pytest.mark.parametrize("rule", [rules.radam, rules.radam_paper, rules.radam_authors])
def test_radam_is_finite_at_every_step(rule: Rule, beta2: float) -> None:
    assert np.isfinite(path(rule, 40, {"beta2": beta2})).all()


def test_without_correction_adam_begins_three_times_too_fast() -> None:
    (first,) = path(rules.adam_uncorrected, 1, {"lr": 1.0, "eps": 0.0}, np.ones_like)
    np.testing.assert_allclose(START - first, 0.1 / math.sqrt(0.001), rtol=1e-12)


def test_the_corrected_maximum_stays_where_the_uncorrected_is_overtaken() -> None:
    """A large gradient, then small ones: √(v̂) falls as the correction does, unless it is kept."""
    slopes = iter([10.0, 1.0, 1.0] * 2)
    found = [path(rule, 3, {"lr": 1.0, "eps": 0.0}, lambda x: np.full_like(x, next(slopes)))
             for rule in (rules.amsgrad, rules.amsgrad_corrected)]  # fmt: skip
    means = [0.1 * 10, 0.9 * 1 + 0.1, 0.81 * 1 + 0.19]
    v = [0.1, 0.999 * 0.1 + 0.001, (0.999**2) * 0.1 + 0.999 * 0.001 + 0.001]
    hats = [m / (1 - 0.9**t) for t, m in enumerate(means, 1)]
    roots = [[math.sqrt(max(v[:t]) / (1 - 0.999**t)) for t in (1, 2, 3)], [10.0] * 3]
    for places, by in zip(found, roots, strict=True):
        np.testing.assert_allclose(START - places[-1], sum(h / r for h, r in zip(hats, by, strict=True)), rtol=1e-9)


# ---------------------------------------------------------------------------------------------------------------------
# Layers
# ---------------------------------------------------------------------------------------------------------------------

STEP_LENGTHS: dict[str, tuple[Rule, dict[str, float], Array, float]] = {
    "lamb": (rules.lamb, {"lr": 0.1}, START, 0.1 * float(np.linalg.norm(START))),
    "lars": (
        rules.lars,
        {"lr": 1.0, "weight_decay": 0.0, "eps": 0.0, "trust_coefficient": 0.1},
        START,
        0.1 * float(np.linalg.norm(START)),
    ),
    "lamb from zero": (rules.lamb, {"lr": 0.1, "eps": 0.0}, 0 * START, 0.1 * math.sqrt(5)),
    "lars from zero": (rules.lars, {"lr": 0.1}, 0 * START, 0.1 * 0.1 * math.sqrt(5)),  # the gradient there is 0.1
}


@pytest.mark.parametrize(("rule", "given", "start", "length"), STEP_LENGTHS.values(), ids=STEP_LENGTHS)
def test_first_steps_are_as_long_as_the_trust_ratio_says(
    rule: Rule, given: dict[str, float], start: Array, length: float
) -> None:
    (place,) = path(rule, 1, given, start=start)
    np.testing.assert_allclose(np.linalg.norm(place - start), length, rtol=1e-12)


#: What one step without a gradient leaves of each weight, from weights that are not zero.
LEFT: dict[str, tuple[Rule, dict[str, float], float]] = {
    "lars": (rules.lars, {"lr": 0.5, "weight_decay": 0.0}, 1.0),
    "lars, without epsilon": (rules.lars, {"lr": 0.5, "weight_decay": 0.0, "eps": 0.0}, 1.0),
    "lars, decayed by a ratio of 1": (rules.lars, {"lr": 0.5, "weight_decay": 0.25}, 1 - 0.5 * 0.25),
    "lamb": (rules.lamb, {"lr": 0.5, "weight_decay": 0.0}, 1.0),
    "lamb, decayed by the whole rate": (rules.lamb, {"lr": 0.5, "weight_decay": 0.25}, 1 - 0.5),
}


@pytest.mark.parametrize(("rule", "given", "left"), LEFT.values(), ids=LEFT)
def test_layers_without_a_gradient(rule: Rule, given: dict[str, float], left: float) -> None:
    (place,) = path(rule, 1, given, np.zeros_like)
    np.testing.assert_allclose(place, left * START, rtol=1e-15)
    np.testing.assert_array_equal(path(rule, 3, given, np.zeros_like, 0 * START), np.zeros((3, 5)))


# ---------------------------------------------------------------------------------------------------------------------
# Elements
# ---------------------------------------------------------------------------------------------------------------------

# Where the rule goes from the start (1, -2, 0.5, 3, -0.25) in one step at η = 1.
ONE_STEP: dict[str, tuple[Rule, dict[str, float], list[float], list[float]]] = {
    "lion stays where the gradient is zero": (
        rules.lion, {}, [5.0, -1e-9, 0.0, -0.0, 1e30], [0.0, -1.0, 0.5, 3.0, -1.25]
    ),
    "what is clipped, and NaN, which is not": (
        rules.clip_value(gradient_descent), {"clip_value": 0.5}, [9, -9, 0.25, math.nan, -math.inf],
        [0.5, -1.5, 0.25, math.nan, 0.25],
    ),
    "exact zeros, from either side and at the edge": (
        rules.proximal_l1(gradient_descent), {"lambda1": 0.3}, [0.7, -1.9, 0.3, 0.0, -0.25],
        [0.0, 0.0, 0.0, 2.7, 0.0],
    ),
    "all but the undecided, which count as masked": (
        rules.cautious(gradient_descent), {}, [1.0, -1.0, 0.0, 0.0, 0.5],
        [1 - 5 / 3, -2 + 5 / 3, 0.5, 3.0, -0.25 - 2.5 / 3],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("rule", "given", "slopes", "expected"), ONE_STEP.values(), ids=ONE_STEP)
def test_one_step(rule: Rule, given: dict[str, float], slopes: list[float], expected: list[float]) -> None:
    (place,) = path(rule, 1, {"lr": 1.0, **given}, lambda x: np.array(slopes))
    np.testing.assert_allclose(place, expected, rtol=1e-12, atol=0.0)


#: How many elements of so many agree, and by how much they are lengthened: the inverse of their share, at most 1000.
SHARES: list[tuple[int, int, float]] = [(4, 2, 2.0), (500, 1, 500.0), (1000, 1, 1000.0), (4000, 1, 1000.0)]


@pytest.mark.parametrize(("size", "agreeing", "longer"), SHARES)
def test_a_cautious_step_is_lengthened_a_thousandfold_at_most(size: int, agreeing: int, longer: float) -> None:
    slopes = np.zeros(size)
    slopes[:agreeing] = -2.0
    (place,) = path(rules.cautious(gradient_descent), 1, {"lr": 0.5}, lambda x: slopes, np.zeros(size))
    np.testing.assert_allclose(place, -0.5 * longer * slopes, rtol=1e-12)


def test_a_cautious_step_where_nothing_agrees_is_none() -> None:
    climbing = rules.cautious(maximize(gradient_descent))
    np.testing.assert_array_equal(path(climbing, 2, {"lr": 1.0}), [START, START])


def test_a_cautious_step_never_climbs() -> None:
    """After one gradient up, momentum still goes up where a smaller one points down: it waits."""
    slopes = iter([1.0, -0.5])
    first, second = path(rules.cautious(momentum), 2, {"lr": 1.0}, lambda x: np.full_like(x, next(slopes)))
    np.testing.assert_array_equal(second, first)


#: β₃ on its way from β₁ to its end: at 0, at 1, and half-way, where the half-life is the mean of the two.
WAY: list[tuple[tuple[float, float, float], float]] = [
    ((0.9, 0.9999, 0.0), 0.9),
    ((0.9, 0.9999, 1.0), 0.9999),
    ((0.25, 0.5, 0.5), 0.5 ** (4 / 3)),
]


@pytest.mark.parametrize(("arguments", "expected"), WAY)
def test_the_slow_mean_warms_up(arguments: tuple[float, float, float], expected: float) -> None:
    untyped: Any = slow_decay
    assert untyped(*arguments) == pytest.approx(expected, rel=1e-14)


def test_ademamix_may_do_without_a_fast_mean() -> None:
    assert np.isfinite(path(rules.ademamix, 12, {"beta1": 0.0, "alpha_warmup": 10.0, "beta3_warmup": 10.0})).all()


def test_the_average_begins_as_the_first_weights_and_moves_nothing() -> None:
    """torch's get_ema_multi_avg_fn: average ← δ average + (1 - δ) θ, with each θ after its step."""
    averaging, decay, slopes = rules.averaged(momentum), 0.75, [1.0, -2.0, 4.0]
    p, states, expected = START, {"average": START, "b": 0 * START}, START
    following = iter(slopes)
    plain = path(momentum, 3, {"lr": 0.5}, lambda x: np.full_like(x, next(following)))
    for slope, place in zip(slopes, plain, strict=True):
        given = numbers(averaging, lr=0.5, average_decay=decay)
        update, states = reference(averaging, {"p": p, "g": np.full_like(p, slope), **states}, given)
        p, expected = p - update, decay * expected + (1 - decay) * place
        np.testing.assert_allclose(p, place, rtol=1e-14)
        np.testing.assert_allclose(states["average"], expected, rtol=1e-14)
    first = numbers(averaging, lr=0.5) | {averaging.states[0].absent: 1.0}
    _, begun = reference(averaging, {"p": START, "g": 0 * START, "average": 0 * START, "b": 0 * START}, first)
    np.testing.assert_allclose(begun["average"], START, rtol=1e-14)
