"""Every rule's JavaScript in Chromium, against Python: paths of several tensors, special values, random formulas."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fallline as fl
from fallline import rules
from fallline.math import sqrt, sum, where
from fallline.symbolic import Rule
from tests.kernels.runner import Arrays, drawn, numbers
from tests.kernels.test_random_graphs import HYPERPARAMETERS, rule_of, truths
from tests.kernels.test_random_graphs import SHAPES as RANDOM_SHAPES
from tests.kernels.test_special_values import ELEMENTWISE, EVERYTHING, check, pairs
from tests.symbolic.formulas import Tree, formulas

if TYPE_CHECKING:
    from playwright.sync_api import Browser

STEPS = 12
#: A number, a bias, a matrix and filters: what sums over tensors, channels and all tensors differ on.
SHAPES: tuple[tuple[int, ...], ...] = ((), (3,), (3, 2), (2, 2, 1, 3))
COMPOSED = [
    rules.clip_norm(rules.averaged(rules.adamw)), rules.cautious(rules.adam), rules.l2(rules.momentum),
    rules.decoupled_decay(rules.cautious(rules.adam)), rules.fully_decoupled_decay(rules.adam),
    rules.proximal_l1(rules.gradient_descent), rules.clip_norm(rules.prodigy), rules.clip_value(rules.lamb),
    rules.schedule_free(rules.lion),
]  # fmt: skip


@fl.rule
def own(p, g, m, n=fl.state("scalar", init=1.0), s=fl.state(init=lambda g: g), *, lr=0.1, beta=0.9, t, turn=False):  # type: ignore[no-untyped-def]  # noqa: B008
    """A user's rule with each kind of state, a step count, and something to settle."""
    m = beta * m + (1 - beta) * g
    n = 0.5 * n + sum(g * g) / t
    return lr * (p - m if turn else m) / (sqrt(n) + sqrt(s * s) + 1e-3), m, n, 0.5 * s + 0.5 * g


@fl.rule
def swaps(p, g, a, b, *, lr=0.1):  # type: ignore[no-untyped-def]
    """Each state becomes what another was."""
    return lr * (a - b), b + g, a


@fl.rule
def hostile(p, g, new, tensors, i, Math, update, *, lr=0.1, default=2.0, x1=0.5, power=0.9, t):  # type: ignore[no-untyped-def]
    """Names that JavaScript, or what is written in it, has a use for."""
    channel = new + default * g
    return lr * channel / power**t, channel, tensors - x1 * g, -g - -i, g - (Math - g), update / (g / x1)


@fl.rule
def over_channels(p, g, *, lr=0.1):  # type: ignore[no-untyped-def]
    """A sum over what each channel has one of."""
    lengths = sqrt(sum(g * g, channels=True))
    return lr * g / (sum(lengths) + sum(where(lengths > 0.5, lengths, -0.0), all_tensors=True))


OWN = (own, swaps, hostile, over_channels)
EVERY: dict[str, Rule] = {rules.name_of(one): one for one in (*rules.ALL.values(), *COMPOSED)}
EVERY |= {one.name: one for one in OWN}

#: Walks rules: [source, hyperparameters, tensors as [numbers, shape]] becomes [p and states of each tensor] per step.
WALK = """
async ([cases, steps]) => {
  const walk = async ([source, given, begun]) => {
    const rule = (await import(`data:text/javascript;base64,${source}`)).default;
    const tensors = begun.map(([numbers, shape]) => rule.begin(Float64Array.from(numbers), shape));
    const shared = rule.shared();
    const places = [];
    for (let step = 0; step < steps; step++) {
      for (const {p, g} of tensors) p.forEach((x, i) => (g[i] = x * x * x - 0.5 * x));
      rule.step(tensors, {...rule.hyperparameters, ...given}, shared);
      places.push(tensors.map(({p, states}) => [[...p], rule.states.map((name) => [...states[name]])]));
    }
    return [rule.states, places];
  };
  return Promise.all(cases.map(walk));
}
"""


def encoded(source: str) -> str:
    return base64.b64encode(source.encode()).decode()


def begun() -> list[np.ndarray[Any, Any]]:
    draws = np.random.default_rng(0)
    return [np.asarray(draws.normal(size=shape)) for shape in SHAPES]


def hyperparameters(rule: Rule) -> dict[str, float]:
    """What must be given, and has no default."""
    return {name: 0.1 for name, default in rule.hyperparameters.items() if default is None}


def reference(rule: Rule, given: Mapping[str, Any]) -> list[list[tuple[Any, dict[str, Any]]]]:
    params = [torch.nn.Parameter(torch.from_numpy(value)) for value in begun()]
    optimizer = fl.Optimizer(params, rule, **given)
    places = []
    for _ in range(STEPS):
        for p in params:
            p.grad = p.detach() ** 3 - 0.5 * p.detach()
        optimizer.step()
        states = [{spec.name: optimizer.state[p][spec.name].numpy().ravel().copy() for spec in rule.tensor_states}
                  for p in params]  # fmt: skip
        places.append([(p.detach().numpy().ravel().copy(), one) for p, one in zip(params, states, strict=True)])
    return places


@pytest.fixture(scope="module")
def evaluate(browser: Browser) -> Any:
    page = browser.new_page()
    yield page.evaluate
    page.close()


@pytest.fixture(scope="module")
def walked(evaluate: Any) -> dict[str, Any]:
    """What all rules do, from one call of the page."""
    tensors = [[value.ravel().tolist(), list(value.shape)] for value in begun()]
    cases = {name: [encoded(one.javascript()), hyperparameters(one), tensors] for name, one in EVERY.items()}
    cases["turned"] = [encoded(own.javascript(turn=True)), {}, tensors]
    return dict(zip(cases, evaluate(WALK, [list(cases.values()), STEPS]), strict=True))


@pytest.mark.parametrize("name", [*EVERY, "turned"])
def test_every_rule_takes_the_reference_path(name: str, walked: dict[str, Any]) -> None:
    rule, settled = (own, {"turn": True}) if name == "turned" else (EVERY[name], {})
    names, places = walked[name]
    assert names == [spec.name for spec in rule.tensor_states]
    for found, expected in zip(places, reference(rule, {**hyperparameters(rule), **settled}), strict=True):
        for (p, states), (known_p, known_states) in zip(found, expected, strict=True):
            np.testing.assert_allclose(p, known_p, rtol=1e-9, atol=1e-12)
            for state, values in zip(names, states, strict=True):
                np.testing.assert_allclose(
                    np.array(values, np.float64), known_states[state], rtol=1e-9, atol=1e-12, err_msg=state
                )


#: One step, alone, of tensors that are in the middle of their way: [p, g, states, shape, hyperparameters, t].
STEP = """
async ([source, given]) => {
  const rule = (await import(`data:text/javascript;base64,${source}`)).default;
  return given.map(([p, g, states, shape, hyperparameters, t]) => {
    const tensor = rule.begin(Float64Array.from(p), shape);
    tensor.g.set(g);
    for (const name of rule.states) tensor.states[name].set(states[name]);
    tensor.t = t - 1;
    rule.step([tensor], {...rule.hyperparameters, ...hyperparameters}, rule.shared());
    return Object.entries({p: tensor.p, ...tensor.states}).map(([name, values]) => [name, [...values]]);
  });
}
"""


def stepped(evaluate: Any, rule: Rule, tensors: list[Arrays], given: list[dict[str, float]], t: int) -> list[Arrays]:
    rows = []
    for arrays, one in zip(tensors, given, strict=True):
        flat = {name: array.ravel().tolist() for name, array in arrays.items()}
        rows.append([flat.pop("p"), flat.pop("g"), flat, list(arrays["p"].shape), one, t])
    found = evaluate(STEP, [encoded(rule.javascript()), rows])
    return [
        {name: np.array(values, np.float64).reshape(arrays["p"].shape) for name, values in one}
        for one, arrays in zip(found, tensors, strict=True)
    ]


def test_special_values(evaluate: Any) -> None:
    a, b = pairs(np.float64)
    arrays = {"p": a, "g": b, **{name: np.zeros_like(a) for name in ELEMENTWISE}}
    (found,) = stepped(evaluate, EVERYTHING, [arrays], [{}], 1)
    for name in ELEMENTWISE:
        check(name, found[name], a, b, 1e-14)


@settings(max_examples=25, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(formulas(9, 7), st.integers(2, 5))
def test_random_rules(evaluate: Any, drawn_formulas: tuple[Tree, ...], t: int) -> None:
    made = rule_of(drawn_formulas)
    tensors = [drawn(made, shape, "float64") for shape in RANDOM_SHAPES]
    known = [truths(drawn_formulas, a, numbers(made, t, **h)) for a, h in zip(tensors, HYPERPARAMETERS, strict=True)]
    found = stepped(evaluate, made, tensors, [*HYPERPARAMETERS], t)
    wrong = [(shape, name, words) for shape, values, true in zip(RANDOM_SHAPES, found, known, strict=True)
             for name in true if (words := true[name].denied_by(values[name]))]  # fmt: skip
    assert wrong == []
