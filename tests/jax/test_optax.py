"""A rule as an optax transformation: against the eager reference, its twins in optax, and what optax does with one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

import fallline as fl
from fallline import rules
from fallline.math import sqrt
from fallline.rules import adam, adamw, averaged, cautious, clip_norm, decoupled_decay, l2, momentum
from fallline.symbolic import Rule

#: A tensor of each number of dimensions, and one that all reductions of a tensor are trivial on.
SHAPES = {"scalar": (), "bias": (3,), "matrix": (3, 2), "filters": (2, 2, 1, 3)}
GIVEN: dict[Rule, dict[str, Any]] = {
    rule: {name: 0.1 for name, default in rule.hyperparameters.items() if default is None}
    for rule in rules.ALL.values()
}
COMPOSED = [
    clip_norm(averaged(adamw)), cautious(adam), l2(momentum), decoupled_decay(cautious(adam)),
    rules.proximal_l1(rules.gradient_descent), clip_norm(rules.prodigy),
]  # fmt: skip
EVERY = {rules.name_of(rule): rule for rule in (*rules.ALL.values(), *COMPOSED)}


@fl.rule
def own(p, g, m, n=fl.state("scalar", init=1.0), s=fl.state(init=lambda g: g), *, lr=0.1, beta=0.9, t, turn=False):  # type: ignore[no-untyped-def]  # noqa: B008
    """A user's rule with each kind of state, a step count, and something to settle."""
    m = beta * m + (1 - beta) * g
    n = 0.5 * n + fl.math.sum(g * g) / t
    return lr * (p - m if turn else m) / (sqrt(n) + sqrt(s * s) + 1e-3), m, n, 0.5 * s + 0.5 * g


@fl.rule
def bare(p, g, *, rate):  # type: ignore[no-untyped-def]
    """A rule whose rate must be given."""
    return rate * g


def begun(dtype: Any = np.float64) -> dict[str, np.ndarray[Any, Any]]:
    draws = np.random.default_rng(0)
    return {name: np.asarray(draws.normal(size=shape), dtype) for name, shape in SHAPES.items()}


def gradient(values: Any) -> Any:
    """Of a quartic in each number, in either library."""
    return values**3 - 0.5 * values


def torch_path(rule: Rule, steps: int, **given: Any) -> list[dict[str, np.ndarray[Any, Any]]]:
    params = {name: torch.nn.Parameter(torch.from_numpy(value.copy())) for name, value in begun().items()}
    optimizer = fl.Optimizer(params.values(), rule, **given)
    places = []
    for _ in range(steps):
        for p in params.values():
            p.grad = gradient(p.detach())
        optimizer.step()
        places.append({name: p.detach().numpy().copy() for name, p in params.items()})
    return places


def jax_path(transformation: Any, steps: int, params: Any) -> list[Any]:
    state, places = transformation.init(params), []
    move = jax.jit(transformation.update)
    for _ in range(steps):
        updates, state = move(jax.tree.map(gradient, params), state, params)
        params = optax.apply_updates(params, updates)
        places.append(params)
    return places


@pytest.mark.parametrize("rule", [*EVERY.values(), own], ids=[*EVERY, "own"])
def test_every_rule_takes_the_reference_path(rule: Rule) -> None:
    given = GIVEN.get(rule, {})
    with jax.enable_x64(True):
        found = jax_path(rule.optax(**given), 12, {name: jnp.asarray(p) for name, p in begun().items()})
    for place, expected in zip(found, torch_path(rule, 12, **given), strict=True):
        for name, values in expected.items():
            np.testing.assert_allclose(place[name], values, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize(("turn", "expected"), [(False, False), (True, True)])
def test_what_is_settled_while_tracing_is(turn: bool, expected: bool) -> None:
    with jax.enable_x64(True):
        found = jax_path(own.optax(turn=turn), 3, {name: jnp.asarray(p) for name, p in begun().items()})
    reference = torch_path(own, 3, turn=expected)
    np.testing.assert_allclose(found[-1]["matrix"], reference[-1]["matrix"], rtol=1e-9)


TWINS: dict[str, tuple[Any, Any]] = {
    "sgd": (rules.gradient_descent.optax(lr=0.1), optax.sgd(0.1)),
    "momentum": (momentum.optax(lr=0.1, momentum=0.8), optax.sgd(0.1, momentum=0.8)),
    "nesterov": (rules.nesterov.optax(lr=0.1, momentum=0.8), optax.sgd(0.1, momentum=0.8, nesterov=True)),
    "adam": (adam.optax(lr=0.1), optax.adam(0.1)),
    "adamw": (adamw.optax(lr=0.1, weight_decay=0.01), optax.adamw(0.1, weight_decay=0.01)),
    "nadam without its schedule": (adam.optax(lr=0.1, beta1=0.8), optax.adam(0.1, b1=0.8)),
    "adamax": (rules.adamax.optax(lr=0.1), optax.adamax(0.1)),
    "adadelta": (rules.adadelta.optax(lr=1.0, rho=0.9, eps=1e-6), optax.adadelta(1.0, rho=0.9, eps=1e-6)),
    "lion": (rules.lion.optax(lr=0.01, weight_decay=0.1), optax.lion(0.01, weight_decay=0.1)),
    "amsgrad_corrected": (rules.amsgrad_corrected.optax(lr=0.1), optax.amsgrad(0.1)),
    "rmsprop": (rules.rmsprop.optax(lr=0.01, alpha=0.9), optax.rmsprop(0.01, eps_in_sqrt=False)),
}


@pytest.mark.parametrize(("ours", "theirs"), TWINS.values(), ids=TWINS)
def test_twins_in_optax_take_the_same_path(ours: Any, theirs: Any) -> None:
    params = {name: jnp.asarray(p) for name, p in begun(np.float32).items()}
    for place, expected in zip(jax_path(ours, 20, params), jax_path(theirs, 20, params), strict=True):
        for name, values in expected.items():
            np.testing.assert_allclose(place[name], values, rtol=2e-5, atol=2e-6, err_msg=name)


def _ends(transformation: Any, steps: int = 6) -> Any:
    return jax_path(transformation, steps, {name: jnp.asarray(p) for name, p in begun(np.float32).items()})[-1]


def test_schedules_are_functions_of_the_steps_taken() -> None:
    schedule = optax.linear_schedule(0.1, 0.01, 5)
    ours, theirs = _ends(momentum.optax(lr=schedule, momentum=0.8)), _ends(optax.sgd(schedule, momentum=0.8))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), ours, theirs)


def test_hyperparameters_can_be_injected() -> None:
    descent = optax.inject_hyperparams(adam.optax)(lr=0.1)
    params = {name: jnp.asarray(p) for name, p in begun(np.float32).items()}
    state = descent.init(params)
    assert {name: float(value) for name, value in state.hyperparams.items()} == pytest.approx(
        {"lr": 0.1, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
    )
    state.hyperparams["lr"] = jnp.asarray(0.0)
    updates, state = jax.jit(descent.update)(jax.tree.map(gradient, params), state, params)
    assert all(not np.asarray(value).any() for value in jax.tree.leaves(updates))


def test_hyperparameters_can_be_mapped_over() -> None:
    params = {"matrix": jnp.asarray(begun(np.float32)["matrix"])}

    def end(lr: Any) -> Any:
        return jax_path(adam.optax(lr=lr), 4, params)[-1]["matrix"]

    rates = jnp.asarray([0.01, 0.1])
    together = jax.vmap(end)(rates)
    for rate, found in zip(rates, together, strict=True):
        np.testing.assert_allclose(found, end(float(rate)), rtol=1e-5)


def test_it_is_chained_and_masked_as_others_are() -> None:
    mask = {"scalar": True, "bias": False, "matrix": True, "filters": True}
    both = [
        optax.chain(optax.clip_by_global_norm(1.0), optax.masked(one, mask))
        for one in (momentum.optax(lr=0.1, momentum=0.9), optax.sgd(0.1, momentum=0.9))
    ]
    ours, theirs = map(_ends, both)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), ours, theirs)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_updates_and_states_have_the_parameters_type(dtype: str) -> None:
    params = {"w": jnp.asarray([1.0, -2.0], dtype)}
    descent = adam.optax(lr=0.25)
    updates, state = descent.update({"w": jnp.asarray([1.0, 1.0], dtype)}, descent.init(params), params)
    assert updates["w"].dtype == state.states["m"]["w"].dtype == dtype
    assert updates["w"].tolist() == [-0.25, -0.25]


def test_a_tree_without_parameters_takes_a_step() -> None:
    for rule in (adam, clip_norm(momentum), rules.prodigy):
        descent = rule.optax(lr=0.1)
        updates, state = descent.update({}, descent.init({}), {})
        assert updates == {}
        assert int(state.count) == 1


PARAMS = {"w": jnp.ones(2)}
WRONG: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "a name": (lambda: adam.optax(beta=0.9), TypeError, "'adam' has no hyperparameter 'beta'; did you mean 'beta"),
    "a number": (lambda: adam.optax(beta1=1.0), ValueError, "'beta1' .* at least 0 and less than 1; got 1"),
    "no number": (lambda: adam.optax(lr="fast"), TypeError, "'lr' .* must be a number or a schedule; got 'fast'"),
    "a truth value": (lambda: adam.optax(lr=True), TypeError, "'lr' .* must be a number"),
    "not settled": (lambda: own.optax(turn=1.0), TypeError, "'turn' of the rule 'own' must be a bool; got 1.0"),
    "missing": (lambda: bare.optax(), TypeError, "'bare' needs a value for 'rate': pass rate="),
    "whole numbers": (
        lambda: adam.optax().init({"w": jnp.arange(3)}), TypeError, r"parameter at \['w'\] must be .*; got int32",
    ),
    "complex numbers": (
        lambda: adam.optax().init(jnp.ones(2, complex)), TypeError, "parameter at the root must .*; got complex64",
    ),
    "no array": (
        lambda: adam.optax().update({"w": 1.0}, adam.optax().init(PARAMS), PARAMS), TypeError, "gradient at .* float",
    ),
    "no parameters": (
        lambda: adamw.optax().update(PARAMS, adamw.optax().init(PARAMS)), ValueError, "reads the parameters",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "words"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_told_by_name(call: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def test_a_rule_that_does_not_read_the_parameters_needs_none() -> None:
    descent = adam.optax(lr=0.1)
    updates, _ = descent.update(PARAMS, descent.init(PARAMS))
    np.testing.assert_allclose(updates["w"], [-0.1, -0.1], rtol=1e-5)
