"""Every rule against its published formula, transcribed in plain NumPy, and against closed forms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fallline import rules
from fallline.kernels import evaluate, host_scalars
from fallline.rules import (
    adagrad,
    adam,
    adamw,
    amsgrad,
    centered_rmsprop,
    dampened_momentum,
    decoupled_decay,
    gradient_descent,
    heavy_ball,
    l2,
    maximize,
    momentum,
    nesterov,
    rmsprop,
)
from fallline.symbolic import Rule, make_plan

Array = NDArray[np.float64]
Gradient = Callable[[Array], Array]

CURVATURES = np.array([0.5, 2.0, -1.0, 0.0, 7.0])
START = np.array([1.0, -2.0, 0.5, 3.0, -0.25])


def gradient(x: Array) -> Array:
    """The gradient of a quadratic with a curvature for each direction, and a slope."""
    return CURVATURES * x + 0.1


def path(rule: Rule, steps: int, given: dict[str, float], of: Gradient = gradient) -> list[Array]:
    """Where a rule leads from the start, by the reference in double precision."""
    plan = make_plan(rule.trace())
    host = host_scalars(plan)
    p, states = START, {state.name: np.full_like(START, state.fill) for state in rule.states}
    places = []
    for t in range(1, steps + 1):
        absent = {state.absent: float(t == 1) for state in rule.states}
        numbers: dict[str, Any] = {**rule.defaults, **given, **absent, "t": float(t)}
        values = host.values(*[numbers[name] for name in host.names])
        update, states = evaluate(plan, {"p": p, "g": of(p), **states}, values)
        p = p - update
        places.append(p)
    return places


# ---------------------------------------------------------------------------------------------------------------------
# As published
# ---------------------------------------------------------------------------------------------------------------------


def cauchy(of: Gradient, lr: float = 0.1) -> Iterator[Array]:
    x = START
    while True:
        x = x - lr * of(x)
        yield x


def polyak(of: Gradient, lr: float = 0.1, mu: float = 0.9) -> Iterator[Array]:
    """x_{k+1} = x_k - α ∇f(x_k) + β (x_k - x_{k-1})."""
    x, before = START, START
    while True:
        x, before = x - lr * of(x) + mu * (x - before), x
        yield x


def sutskever(of: Gradient, lr: float = 0.1, mu: float = 0.9) -> Iterator[Array]:
    """v = μv - ε ∇f(θ + μv), θ = θ + v; what is stored here is the point θ + μv at which the gradient is taken."""
    theta, v = START, np.zeros_like(START)
    while True:
        v = mu * v - lr * of(theta + mu * v)
        theta = theta + v
        yield theta + mu * v


def dampened(of: Gradient, lr: float = 0.1, mu: float = 0.9, tau: float = 0.3) -> Iterator[Array]:
    """As torch documents it: the buffer begins as the first gradient, in full."""
    x, b = START, of(START)
    while True:
        x = x - lr * b
        yield x
        b = mu * b + (1 - tau) * of(x)


def duchi(of: Gradient, lr: float = 0.1, decay: float = 0.2, eps: float = 1e-3) -> Iterator[Array]:
    x, squares = START, []
    while True:
        g = of(x)
        squares.append(g**2)
        x = x - lr / (1 + (len(squares) - 1) * decay) * g / (eps + np.sqrt(np.sum(squares, axis=0)))
        yield x


def tieleman(of: Gradient, lr: float = 0.1, alpha: float = 0.9, eps: float = 1e-3) -> Iterator[Array]:
    x, mean_square = START, np.zeros_like(START)
    while True:
        g = of(x)
        mean_square = alpha * mean_square + (1 - alpha) * g**2
        x = x - lr * g / (np.sqrt(mean_square) + eps)
        yield x


def graves(of: Gradient, lr: float = 0.1, alpha: float = 0.9, eps: float = 1e-3) -> Iterator[Array]:
    """Equations 38 to 40, with ε outside the root and without the momentum."""
    x, n, mean = START, np.zeros_like(START), np.zeros_like(START)
    while True:
        g = of(x)
        n = alpha * n + (1 - alpha) * g**2
        mean = alpha * mean + (1 - alpha) * g
        x = x - lr * g / (np.sqrt(n - mean**2) + eps)
        yield x


def kingma(
    of: Gradient,
    lr: float = 0.1,
    beta1: float = 0.8,
    beta2: float = 0.99,
    eps: float = 1e-3,
    decay: float = 0.0,
    highest: bool = False,
) -> Iterator[Array]:
    """Algorithm 1; AdamW's decay beside the step; AMSGrad's highest second moment, as torch has it."""
    theta, m, v, top, t = START, np.zeros_like(START), np.zeros_like(START), np.zeros_like(START), 0
    while True:
        t += 1
        g = of(theta)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        top = np.maximum(top, v) if highest else v
        step = lr * (m / (1 - beta1**t)) / (np.sqrt(top / (1 - beta2**t)) + eps)
        theta = theta - step - lr * decay * theta
        yield theta


def with_momentum(of: Gradient, lr: float = 0.1, mu: float = 0.8) -> Iterator[Array]:
    """RMSprop's direction gathered in a buffer, the learning rate outside."""
    x, mean_square, buffer = START, np.zeros_like(START), np.zeros_like(START)
    while True:
        g = of(x)
        mean_square = 0.9 * mean_square + 0.1 * g**2
        buffer = mu * buffer + g / (np.sqrt(mean_square) + 1e-3)
        x = x - lr * buffer
        yield x


def regularised(x: Array) -> Array:
    """The gradient with that of 0.3/2 ‖x‖² added."""
    return gradient(x) + 0.3 * x


def uphill(x: Array) -> Array:
    return -gradient(x)


def decayed(of: Gradient, lr: float = 0.1, mu: float = 0.9, decay: float = 0.3) -> Iterator[Array]:
    """SGDW: the weights shrink beside the step and the buffer never sees it."""
    x, b = START, np.zeros_like(START)
    while True:
        b = mu * b + of(x)
        x = x - lr * b - lr * decay * x
        yield x


@dataclass(frozen=True)
class Published:
    """A rule, what it is given, the published iteration, and the function that this descends on."""

    rule: Rule
    iteration: Callable[..., Iterator[Array]]
    given: dict[str, float] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    of: Gradient = gradient


RMS = {"alpha": 0.9, "eps": 1e-3}
ADAM = {"beta1": 0.8, "beta2": 0.99, "eps": 1e-3}
PUBLISHED = {
    "gradient_descent": Published(gradient_descent, cauchy),
    "momentum": Published(momentum, polyak),
    "nesterov": Published(nesterov, sutskever),
    "dampened_momentum": Published(dampened_momentum, dampened, {"dampening": 0.3}),
    "dampened_momentum, not dampened": Published(dampened_momentum, polyak, {"dampening": 0.0}),
    "adagrad": Published(adagrad, duchi, {"lr_decay": 0.2, "eps": 1e-3}),
    "rmsprop": Published(rmsprop, tieleman, RMS),
    "centered_rmsprop": Published(centered_rmsprop, graves, RMS),
    "adam": Published(adam, kingma, ADAM),
    "amsgrad": Published(amsgrad, kingma, ADAM, {"highest": True}),
    "adamw": Published(adamw, kingma, {**ADAM, "weight_decay": 0.3}, {"decay": 0.3}),
    "heavy_ball(rmsprop)": Published(heavy_ball(rmsprop), with_momentum, {**RMS, "momentum": 0.8}),
    "decoupled_decay(momentum)": Published(decoupled_decay(momentum), decayed, {"weight_decay": 0.3}),
    "l2(gradient_descent)": Published(l2(gradient_descent), cauchy, {"weight_decay": 0.3}, {}, regularised),
    "l2(dampened_momentum)": Published(
        l2(dampened_momentum), dampened, {"weight_decay": 0.3, "dampening": 0.3}, {}, regularised
    ),
    "l2(adam)": Published(l2(adam), kingma, {**ADAM, "weight_decay": 0.3}, {}, regularised),
    "maximize(momentum)": Published(maximize(momentum), polyak, {}, {}, uphill),
    "maximize(dampened_momentum)": Published(maximize(dampened_momentum), dampened, {"dampening": 0.3}, {}, uphill),
    "maximize(adam)": Published(maximize(adam), kingma, ADAM, {}, uphill),
    "maximize(adamw)": Published(maximize(adamw), kingma, {**ADAM, "weight_decay": 0.3}, {"decay": 0.3}, uphill),
}


@pytest.mark.parametrize("steps", [1, 2, 30])
@pytest.mark.parametrize("published", PUBLISHED.values(), ids=PUBLISHED)
def test_follows_the_published_iteration(published: Published, steps: int) -> None:
    expected = published.iteration(published.of, **published.settings)
    for place in path(published.rule, steps, {"lr": 0.1, **published.given}):
        np.testing.assert_allclose(place, next(expected), rtol=1e-10, atol=1e-12)


def test_every_rule_stands_in_the_table() -> None:
    assert rules.ALL.keys() <= PUBLISHED.keys()


# ---------------------------------------------------------------------------------------------------------------------
# Closed forms
# ---------------------------------------------------------------------------------------------------------------------

SLOPE = np.array([0.5, -2.0, 1e-3, 30.0, -1e4])
UNIT = np.sign(SLOPE)

#: Under a constant gradient, how far the parameter has gone down after t steps at a learning rate of 1.
CLOSED: dict[str, tuple[Rule, dict[str, float], Callable[[int], Array]]] = {
    "gradient_descent": (gradient_descent, {}, lambda t: SLOPE * t),
    "momentum": (momentum, {"momentum": 0.5}, lambda t: SLOPE * (2 * t - 2 * (1 - 0.5**t))),
    "nesterov": (nesterov, {"momentum": 0.5}, lambda t: SLOPE * (2 * t - (1 - 0.5**t))),
    "dampened_momentum": (
        dampened_momentum,
        {"momentum": 0.5, "dampening": 0.5},  # a gradient counts half, so the buffer stays at the first
        lambda t: SLOPE * t,
    ),
    "adagrad": (adagrad, {"eps": 0.0}, lambda t: UNIT * np.sum(1 / np.sqrt(np.arange(1, t + 1)))),
    "rmsprop": (
        rmsprop,
        {"alpha": 0.5, "eps": 0.0},
        lambda t: UNIT * np.sum(1 / np.sqrt(1 - 0.5 ** np.arange(1, t + 1))),
    ),
    "centered_rmsprop": (
        centered_rmsprop,
        {"alpha": 0.5, "eps": 0.0},
        lambda t: UNIT * np.sum([1 / np.sqrt(0.5**k - 0.25**k) for k in range(1, t + 1)]),
    ),
    "adam": (adam, {"eps": 0.0}, lambda t: UNIT * t),
    "amsgrad": (amsgrad, {"eps": 0.0}, lambda t: UNIT * t),
    "adam, with epsilon": (adam, {"eps": 0.1}, lambda t: SLOPE / (np.abs(SLOPE) + 0.1) * t),
    "adamw, without decay": (adamw, {"eps": 0.0, "weight_decay": 0.0}, lambda t: UNIT * t),
    "maximize(adam)": (maximize(adam), {"eps": 0.0}, lambda t: -UNIT * t),
    "heavy_ball(gradient_descent)": (
        heavy_ball(gradient_descent),
        {"momentum": 0.5},
        lambda t: SLOPE * (2 * t - 2 * (1 - 0.5**t)),
    ),
}


@pytest.mark.parametrize(("rule", "given", "descent"), CLOSED.values(), ids=CLOSED)
def test_under_a_constant_gradient(rule: Rule, given: dict[str, float], descent: Callable[[int], Array]) -> None:
    for t, place in enumerate(path(rule, 12, {"lr": 1.0, **given}, lambda x: SLOPE), start=1):
        np.testing.assert_allclose(START - place, descent(t), rtol=1e-9)


def test_gradient_descent_on_a_quadratic_is_a_geometric_series() -> None:
    places = path(gradient_descent, 20, {"lr": 0.1}, lambda x: CURVATURES * x)
    np.testing.assert_allclose(places[-1], START * (1 - 0.1 * CURVATURES) ** 20, rtol=1e-12)


def test_decay_alone_shrinks_geometrically() -> None:
    places = path(adamw, 20, {"lr": 0.1, "weight_decay": 0.5}, np.zeros_like)
    np.testing.assert_allclose(places[-1], START * 0.95**20, rtol=1e-12)


#: What a rule is given, under which it does what another does.
SPECIAL_CASES: dict[str, tuple[Rule, dict[str, float], Rule, dict[str, float]]] = {
    "momentum without": (momentum, {"momentum": 0.0}, gradient_descent, {}),
    "nesterov without": (nesterov, {"momentum": 0.0}, gradient_descent, {}),
    "l2 of nothing": (l2(adam), {"weight_decay": 0.0}, adam, {}),
    "no decoupled decay": (adamw, {"weight_decay": 0.0}, adam, {}),
    "l2 is decoupled decay for gradient descent": (
        l2(gradient_descent),
        {"weight_decay": 0.3},
        decoupled_decay(gradient_descent),
        {"weight_decay": 0.3},
    ),
    "heavy ball without": (heavy_ball(rmsprop), {"momentum": 0.0}, rmsprop, {}),
    "maximize twice": (maximize(maximize(adam)), {}, adam, {}),
    "adam without means": (adam, {"beta1": 0.0, "beta2": 0.0}, rmsprop, {"alpha": 0.0}),
}


@pytest.mark.parametrize(("rule", "given", "other", "others"), SPECIAL_CASES.values(), ids=SPECIAL_CASES)
def test_special_cases(rule: Rule, given: dict[str, float], other: Rule, others: dict[str, float]) -> None:
    found, expected = path(rule, 10, {"lr": 0.05, **given}), path(other, 10, {"lr": 0.05, **others})
    np.testing.assert_allclose(found, expected, rtol=1e-12)


# ---------------------------------------------------------------------------------------------------------------------
# Signatures
# ---------------------------------------------------------------------------------------------------------------------

ADAMS = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
SIGNATURES: dict[str, tuple[list[str], dict[str, float], bool]] = {
    "gradient_descent": ([], {"lr": 1e-3}, False),
    "momentum": (["b"], {"lr": 1e-3, "momentum": 0.9}, False),
    "dampened_momentum": (["b"], {"lr": 1e-3, "momentum": 0.9, "dampening": 0.0}, False),
    "nesterov": (["b"], {"lr": 1e-3, "momentum": 0.9}, False),
    "adagrad": (["s"], {"lr": 1e-2, "lr_decay": 0.0, "eps": 1e-10}, True),
    "rmsprop": (["v"], {"lr": 1e-2, "alpha": 0.99, "eps": 1e-8}, False),
    "centered_rmsprop": (["v", "g_bar"], {"lr": 1e-2, "alpha": 0.99, "eps": 1e-8}, False),
    "adam": (["m", "v"], ADAMS, True),
    "amsgrad": (["m", "v", "v_max"], ADAMS, True),
    "adamw": (["m", "v"], {**ADAMS, "weight_decay": 1e-2}, True),
}


@pytest.mark.parametrize("name", rules.ALL)
def test_states_and_defaults(name: str) -> None:
    rule = rules.find(name)
    assert ([state.name for state in rule.states], rule.hyperparameters, rule.uses_t) == SIGNATURES[name]
    assert rules.name_of(rule) == name
    assert getattr(rules, name) is rule
    assert rule.__doc__
