"""Rules where mathematics says where they lead: constant gradients, quadratics, and rules that must agree."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from fallline import rules
from fallline.rules import adam, decoupled_decay, gradient_descent, heavy_ball, l2, maximize, momentum, nesterov
from fallline.symbolic import Rule
from tests.rules.paths import CURVATURES, START, Array, Given, path

SLOPE = np.array([0.5, -2.0, 1e-3, 30.0, -1e4])
UNIT = np.sign(SLOPE)

#: Under a constant gradient, how far the parameter has gone down after t steps at a learning rate of 1.
CLOSED: dict[str, tuple[Rule, dict[str, float], Callable[[int], Array]]] = {
    "gradient_descent": (gradient_descent, {}, lambda t: SLOPE * t),
    "momentum": (momentum, {"momentum": 0.5}, lambda t: SLOPE * (2 * t - 2 * (1 - 0.5**t))),
    "ema_momentum": (rules.ema_momentum, {"momentum": 0.5}, lambda t: SLOPE * (t - (1 - 0.5**t))),
    "velocity_momentum": (rules.velocity_momentum, {"momentum": 0.5}, lambda t: SLOPE * (2 * t - 2 * (1 - 0.5**t))),
    "nesterov": (nesterov, {"momentum": 0.5}, lambda t: SLOPE * (2 * t - (1 - 0.5**t))),
    "velocity_nesterov": (rules.velocity_nesterov, {"momentum": 0.5}, lambda t: SLOPE * (2 * t - (1 - 0.5**t))),
    "dampened_momentum": (
        rules.dampened_momentum,
        {"momentum": 0.5, "dampening": 0.5},  # a gradient counts half, so the buffer stays at the first
        lambda t: SLOPE * t,
    ),
    "adagrad": (rules.adagrad, {"eps": 0.0}, lambda t: UNIT * np.sum(1 / np.sqrt(np.arange(1, t + 1)))),
    "adagrad_keras": (
        rules.adagrad_keras,
        {"eps": 0.0},
        lambda t: sum((SLOPE / np.sqrt(0.1 + k * SLOPE**2) for k in range(1, t + 1)), np.zeros(5)),
    ),
    "rmsprop": (
        rules.rmsprop,
        {"alpha": 0.5, "eps": 0.0},
        lambda t: UNIT * np.sum(1 / np.sqrt(1 - 0.5 ** np.arange(1, t + 1))),
    ),
    "centered_rmsprop": (
        rules.centered_rmsprop,
        {"alpha": 0.5, "eps": 0.0},
        lambda t: UNIT * np.sum([1 / np.sqrt(0.5**k - 0.25**k) for k in range(1, t + 1)]),
    ),
    "rmsprop_tensorflow": (
        rules.rmsprop_tensorflow,
        {"alpha": 0.0, "eps": 0.0, "momentum": 0.5},
        lambda t: UNIT * (2 * t - 2 * (1 - 0.5**t)),
    ),
    "adam": (adam, {"eps": 0.0}, lambda t: UNIT * t),
    "adam_eps_hat": (rules.adam_eps_hat, {"eps_hat": 0.0}, lambda t: UNIT * t),
    "adam_uncorrected": (
        rules.adam_uncorrected,
        {"eps": 0.0},
        lambda t: UNIT * np.sum([(1 - 0.9**k) / np.sqrt(1 - 0.999**k) for k in range(1, t + 1)]),
    ),
    "amsgrad": (rules.amsgrad, {"eps": 0.0}, lambda t: UNIT * t),
    "amsgrad_corrected": (rules.amsgrad_corrected, {"eps": 0.0}, lambda t: UNIT * t),
    "adam, with epsilon": (adam, {"eps": 0.1}, lambda t: SLOPE / (np.abs(SLOPE) + 0.1) * t),
    "adamw, without decay": (rules.adamw, {"eps": 0.0, "weight_decay": 0.0}, lambda t: UNIT * t),
    "adamax": (rules.adamax, {"eps": 0.0}, lambda t: UNIT * t),
    "adamax, with epsilon": (rules.adamax, {"eps": 0.1}, lambda t: SLOPE / (np.abs(SLOPE) + 0.1) * t),
    "radam, never rectified": (rules.radam, {"beta2": 0.6}, lambda t: SLOPE * t),
    "radam_paper, never rectified": (rules.radam_paper, {"beta2": 0.6}, lambda t: SLOPE * t),
    "radam_authors, at rest": (rules.radam_authors, {"beta2": 0.6, "weight_decay": 0.5}, lambda t: 0 * SLOPE),
    "lion": (rules.lion, {}, lambda t: UNIT * t),
    "ademamix": (rules.ademamix, {"eps": 0.0, "alpha": 0.0}, lambda t: UNIT * t),
    "maximize(adam)": (maximize(adam), {"eps": 0.0}, lambda t: -UNIT * t),
    "clip_value(gradient_descent)": (
        rules.clip_value(gradient_descent),
        {"clip_value": 2.0},
        lambda t: np.array([0.5, -2.0, 1e-3, 2.0, -2.0]) * t,
    ),
    "cautious(momentum)": (
        rules.cautious(momentum),
        {"momentum": 0.5},
        lambda t: SLOPE * (2 * t - 2 * (1 - 0.5**t)),  # nothing turns, so nothing is masked
    ),
    "heavy_ball(gradient_descent)": (
        heavy_ball(gradient_descent),
        {"momentum": 0.5},
        lambda t: SLOPE * (2 * t - 2 * (1 - 0.5**t)),
    ),
}


@pytest.mark.parametrize(("rule", "given", "descent"), CLOSED.values(), ids=CLOSED)
def test_under_a_constant_gradient(rule: Rule, given: dict[str, float], descent: Callable[[int], Array]) -> None:
    for t, place in enumerate(path(rule, 12, {"lr": 1.0, **given}, lambda x: SLOPE), start=1):
        np.testing.assert_allclose(START - place, descent(t), rtol=1e-9, atol=1e-12)


def test_gradient_descent_on_a_quadratic_is_a_geometric_series() -> None:
    places = path(gradient_descent, 20, {"lr": 0.1}, lambda x: CURVATURES * x)
    np.testing.assert_allclose(places[-1], START * (1 - 0.1 * CURVATURES) ** 20, rtol=1e-12)


#: What shrinks the weights by 0.95 a step where there is no gradient.
DECAYS: dict[str, tuple[Rule, dict[str, float]]] = {
    "decoupled": (rules.adamw, {"weight_decay": 0.5}),
    "fully decoupled": (rules.fully_decoupled_decay(adam), {"weight_decay": 0.1, "lr_max": 0.2}),
    "l2": (l2(gradient_descent), {"weight_decay": 0.5}),
    "lion": (rules.lion, {"weight_decay": 0.5}),  # the sign of 0 is 0
    "adamp": (rules.adamp, {"weight_decay": 0.5}),
    "ademamix": (rules.ademamix, {"weight_decay": 0.5}),
    "lamb": (rules.lamb, {"lr": 0.05, "weight_decay": 0.5}),  # whose step is as long as η times the weights
}


@pytest.mark.parametrize(("rule", "given"), DECAYS.values(), ids=DECAYS)
def test_decay_alone_shrinks_geometrically(rule: Rule, given: dict[str, float]) -> None:
    places = path(rule, 20, {"lr": 0.1, **given}, np.zeros_like)
    np.testing.assert_allclose(places[-1], START * 0.95**20, rtol=1e-12)


#: What a rule is given, under which it does what another does.
SPECIAL_CASES: dict[str, tuple[Rule, Given, Rule, Given]] = {
    "momentum without": (momentum, {"momentum": 0.0}, gradient_descent, {}),
    "nesterov without": (nesterov, {"momentum": 0.0}, gradient_descent, {}),
    "velocity": (rules.velocity_momentum, {}, momentum, {}),
    "velocity of nesterov": (rules.velocity_nesterov, {}, nesterov, {}),
    "moving average": (rules.ema_momentum, {"lr": 0.5, "momentum": 0.9}, momentum, {"momentum": 0.9}),
    "l2 of nothing": (l2(adam), {"weight_decay": 0.0}, adam, {}),
    "no decoupled decay": (rules.adamw, {"weight_decay": 0.0}, adam, {}),
    "l2 is decoupled decay for gradient descent": (
        l2(gradient_descent),
        {"weight_decay": 0.3},
        decoupled_decay(gradient_descent),
        {"weight_decay": 0.3},
    ),
    "fully decoupled from a rate of one": (
        rules.fully_decoupled_decay(adam),
        {"weight_decay": 0.3, "lr_max": 1.0},
        rules.adamw,
        {"weight_decay": 0.3},
    ),
    "heavy ball without": (heavy_ball(rules.rmsprop), {"momentum": 0.0}, rules.rmsprop, {}),
    "maximize twice": (maximize(maximize(adam)), {}, adam, {}),
    "adam without means": (adam, {"beta1": 0.0, "beta2": 0.0}, rules.rmsprop, {"alpha": 0.0}),
    "epsilon hat by the step": (
        rules.adam_eps_hat,
        lambda t: {"lr": 0.05, "eps_hat": 1e-2 * np.sqrt(1 - 0.999**t)},
        adam,
        {"eps": 1e-2},
    ),
    "no slow mean": (rules.ademamix, {"alpha": 0.0}, adam, {}),
    "adamp on a vector": (rules.adamp, {"delta": 10.0, "weight_decay": 0.3}, rules.adamw, {"weight_decay": 0.3}),
    "clipped far out": (rules.clip_value(adam), {"clip_value": 1e6}, adam, {}),
    "proximal without": (rules.proximal_l1(adam), {"lambda1": 0.0}, adam, {}),
    "all in agreement": (rules.cautious(gradient_descent), {}, gradient_descent, {}),
}


@pytest.mark.parametrize(("rule", "given", "other", "others"), SPECIAL_CASES.values(), ids=SPECIAL_CASES)
def test_special_cases(rule: Rule, given: Given, other: Rule, others: dict[str, float]) -> None:
    found = path(rule, 10, given if callable(given) else {"lr": 0.05, **given})
    np.testing.assert_allclose(found, path(other, 10, {"lr": 0.05, **others}), rtol=1e-12)
