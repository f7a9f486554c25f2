"""Every rule against its published iteration: by the reference, and by its kernels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from fallline import rules
from fallline.rules import dampened_momentum, decoupled_decay, gradient_descent, heavy_ball, l2, maximize, momentum
from fallline.symbolic import Rule
from tests.rules import published, published_adam
from tests.rules.paths import START, Array, Gradient, gradient, kernel_path, path


@dataclass(frozen=True)
class Published:
    """A rule, what it is given, the published iteration, and the function that this descends on."""

    rule: Rule
    iteration: Callable[..., Iterator[Array]]
    given: dict[str, float] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    of: Gradient = gradient

    def places(self, steps: int) -> list[Array]:
        """Where the published iteration leads."""
        iteration = self.iteration(self.of, **self.settings)
        return [next(iteration) for _ in range(steps)]


RMS = {"alpha": 0.9, "eps": 1e-3}
ADAM = {"beta1": 0.8, "beta2": 0.99, "eps": 1e-3}
DECAYED_ADAM = {**ADAM, "weight_decay": 0.3}
ADEMAMIX = {**DECAYED_ADAM, "beta3": 0.999, "alpha": 4.0}
OVER_FOUR, OVER_FIVE, FIVE = (lambda length: length > 4), (lambda length: length > 5), (lambda length: length >= 5)
TABLE = {
    "gradient_descent": Published(gradient_descent, published.cauchy),
    "momentum": Published(momentum, published.polyak),
    "ema_momentum": Published(rules.ema_momentum, published.averaged),
    "velocity_momentum": Published(rules.velocity_momentum, published.with_velocity),
    "nesterov": Published(rules.nesterov, published.sutskever),
    "velocity_nesterov": Published(rules.velocity_nesterov, published.sutskever),
    "dampened_momentum": Published(dampened_momentum, published.dampened, {"dampening": 0.3}),
    "dampened_momentum, not dampened": Published(dampened_momentum, published.polyak, {"dampening": 0.0}),
    "adagrad": Published(rules.adagrad, published.duchi, {"lr_decay": 0.2, "eps": 1e-3}),
    "adagrad_keras": Published(rules.adagrad_keras, published.keras_adagrad, {"eps": 1e-3}),
    "adadelta": Published(rules.adadelta, published.zeiler, {"eps": 1e-3}, {"lr": 0.1}),
    "rmsprop": Published(rules.rmsprop, published.tieleman, RMS),
    "centered_rmsprop": Published(rules.centered_rmsprop, published.graves, RMS),
    "rmsprop_tensorflow": Published(rules.rmsprop_tensorflow, published.tensorflow_rmsprop, {**RMS, "momentum": 0.5}),
    "adam": Published(rules.adam, published_adam.kingma, ADAM),
    "adam_uncorrected": Published(rules.adam_uncorrected, published_adam.kingma_uncorrected, ADAM),
    "adam_eps_hat": Published(
        rules.adam_eps_hat, published_adam.kingma_section_2, {"beta1": 0.8, "beta2": 0.99, "eps_hat": 1e-3}
    ),
    "amsgrad": Published(rules.amsgrad, published_adam.kingma, ADAM, {"highest": True}),
    "amsgrad_corrected": Published(rules.amsgrad_corrected, published_adam.optax_amsgrad, ADAM),
    "adamw": Published(rules.adamw, published_adam.kingma, DECAYED_ADAM, {"decay": 0.3}),
    "normalized_gradient": Published(
        rules.normalized_gradient, published_adam.kingma, {"beta2": 0.99, "eps": 1e-3}, {"beta1": 0.0}
    ),
    "adamax": Published(rules.adamax, published_adam.kingma_algorithm_2, ADAM),
    "radam": Published(rules.radam, published_adam.liu, ADAM, {"rectifies": OVER_FIVE}),
    "radam_paper": Published(rules.radam_paper, published_adam.liu, ADAM, {"rectifies": OVER_FOUR}),
    "radam_authors": Published(
        rules.radam_authors, published_adam.liu, DECAYED_ADAM, {"rectifies": FIVE, "rests": True, "decay": 0.3}
    ),
    "adamp": Published(rules.adamp, published_adam.heo, DECAYED_ADAM, {"start": START}),
    "lion": Published(rules.lion, published_adam.chen, {"beta1": 0.8, "beta2": 0.95, "weight_decay": 0.3}),
    "lars": Published(
        rules.lars, published_adam.you_2017, {"weight_decay": 0.3, "trust_coefficient": 0.02, "eps": 1e-3}
    ),
    "lamb": Published(rules.lamb, published_adam.you_2020, DECAYED_ADAM),
    "ademamix": Published(
        rules.ademamix, published_adam.pagliardini, {**ADEMAMIX, "alpha_warmup": 20, "beta3_warmup": 20}
    ),
    "ademamix, not warmed up": Published(rules.ademamix, published_adam.pagliardini, ADEMAMIX, {"warmup": 1.0}),
    "heavy_ball(rmsprop)": Published(
        heavy_ball(rules.rmsprop), published.with_momentum, {**RMS, "momentum": 0.8}
    ),
    "decoupled_decay(momentum)": Published(decoupled_decay(momentum), published.decayed, {"weight_decay": 0.3}),
    "fully_decoupled_decay(momentum)": Published(
        rules.fully_decoupled_decay(momentum), published.decayed, {"weight_decay": 0.06, "lr_max": 0.2}
    ),
    "l2(gradient_descent)": Published(
        l2(gradient_descent), published.cauchy, {"weight_decay": 0.3}, {}, published.regularised
    ),
    "l2(dampened_momentum)": Published(
        l2(dampened_momentum), published.dampened, {"weight_decay": 0.3, "dampening": 0.3}, {}, published.regularised
    ),
    "l2(adam)": Published(l2(rules.adam), published_adam.kingma, DECAYED_ADAM, {}, published.regularised),
    "maximize(momentum)": Published(maximize(momentum), published.polyak, {}, {}, published.uphill),
    "maximize(dampened_momentum)": Published(
        maximize(dampened_momentum), published.dampened, {"dampening": 0.3}, {}, published.uphill
    ),
    "maximize(adam)": Published(maximize(rules.adam), published_adam.kingma, ADAM, {}, published.uphill),
    "maximize(adamw)": Published(
        maximize(rules.adamw), published_adam.kingma, DECAYED_ADAM, {"decay": 0.3}, published.uphill
    ),
    "clip_value(momentum)": Published(
        rules.clip_value(momentum), published.polyak, {"clip_value": 0.5}, {}, published.clipped
    ),
    "proximal_l1(gradient_descent)": Published(
        rules.proximal_l1(gradient_descent), published.daubechies, {"lambda1": 0.5}
    ),
    "cautious(adam)": Published(rules.cautious(rules.adam), published_adam.liang, ADAM),
    "decoupled_decay(cautious(adam))": Published(
        decoupled_decay(rules.cautious(rules.adam)), published_adam.liang, DECAYED_ADAM, {"decay": 0.3}
    ),
}  # fmt: skip
each_row = pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)


@pytest.mark.parametrize("steps", [1, 2, 30])
@each_row
def test_follows_the_published_iteration(row: Published, steps: int) -> None:
    found = path(row.rule, steps, {"lr": 0.1, **row.given}, gradient)
    np.testing.assert_allclose(found, row.places(steps), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 3e-6)])
@each_row
def test_the_kernel_follows_it_too(row: Published, dtype: str, tolerance: float) -> None:
    found = kernel_path(row.rule, 20, {"lr": 0.1, **row.given}, gradient, dtype=dtype)
    for place, expected in zip(found, row.places(20), strict=True):
        assert np.linalg.norm(place - expected) <= tolerance * np.linalg.norm(expected)


def test_every_rule_stands_in_the_table() -> None:
    """But for those that keep numbers beside their tensors, which an optimizer must hold for them."""
    assert {name for name, rule in rules.ALL.items() if not rule.number_states} <= TABLE.keys()
