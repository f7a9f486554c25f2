"""A person who computes by the printed equations gets what the rule gives."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

import fallline.math
from fallline import rules
from fallline.kernels import Evaluation, evaluate, host_numbers, host_scalars
from fallline.rules import adam, adamw, amsgrad, centered_rmsprop, dampened_momentum, heavy_ball, l2, maximize, rmsprop
from fallline.symbolic import OPERATIONS, REDUCTIONS, Rule, apply, make_plan, rule
from fallline.symbolic.symbols import indexed, symbol
from tests.symbolic.formulas import Tree, formulas, traced, truth
from tests.symbolic.reading import compute

Arrays = dict[str, NDArray[Any]]


def symbols(made: Rule, arrays: Arrays, numbers: dict[str, float]) -> dict[str, Any]:
    """What the letters of a rule's equations stand for."""
    scalars = {symbol(name): np.float64(value) for name, value in numbers.items()}
    before = {indexed(name, "t-1"): array for name, array in arrays.items() if name != "g"}
    first = {indexed("p", "0"): arrays["p"], indexed("g", "1"): arrays["g"]}  # where states begin
    return {**scalars, **before, **first, indexed("g", "t"): arrays["g"]}


def drawn(made: Rule) -> Arrays:
    """Positive tensors; v is a second moment, so it is larger than the square of any mean."""
    generator = np.random.default_rng(1)
    names = ("p", "g", *(state.name for state in made.states))
    arrays = {name: generator.uniform(0.5, 2.0, (3, 4)) + 4 * (name == "v") for name in names}
    return arrays | {state.name: np.array(0.7) for state in made.number_states}


def read_update(made: Rule, arrays: Arrays, numbers: dict[str, float]) -> Any:
    """The update, by the equations."""
    read = compute(made.latex(), symbols(made, arrays, numbers))
    return arrays["p"] - read[indexed("p", "t")]


# ---------------------------------------------------------------------------------------------------------------------
# Rules
# ---------------------------------------------------------------------------------------------------------------------

RULES = [
    *rules.ALL.values(), l2(adam), l2(dampened_momentum), maximize(adam), maximize(l2(amsgrad)), maximize(adamw),
    heavy_ball(rmsprop), heavy_ball(maximize(l2(centered_rmsprop))), maximize(rules.adagrad), maximize(rules.nesterov),
]  # fmt: skip


@pytest.mark.parametrize("made", RULES, ids=str)
def test_the_equations_of_a_rule(made: Rule) -> None:
    arrays = drawn(made)
    numbers = {name: float(value) for name, value in made.defaults.items()}
    numbers |= {"t": 3.0, "momentum": 0.8, "dimensions": 2.0}
    plan = make_plan(made.trace())
    host = host_scalars(plan)
    given = {**numbers, **{state.absent: 0.0 for state in made.states}}
    given |= {state.name: float(arrays[state.name]) for state in made.number_states}
    evaluation = Evaluation(plan, arrays, host.values(*[given[name] for name in host.names]))
    update, states = evaluation.results()
    given |= {f"total_{i}": float(evaluation.value(total)) for i, total in enumerate(plan.totals)}
    new_numbers = host_numbers(plan).values(*[given[name] for name in host_numbers(plan).names])
    states |= dict(zip(plan.new_numbers, new_numbers, strict=True))
    read = compute(made.latex(), symbols(made, arrays, numbers))
    assert read[indexed("p", "t")] == pytest.approx(arrays["p"] - update, rel=1e-12)
    for name, value in states.items():
        assert read[indexed(name, "t")] == pytest.approx(value, rel=1e-12)


# ---------------------------------------------------------------------------------------------------------------------
# Every operation of the table
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name not in REDUCTIONS])
def test_each_operation(name: str) -> None:
    """Alone, and inside and around a sum, a product and a power; by NumPy's function of the same name."""
    operation = OPERATIONS[name]

    def operated(function: Any, where: Any, a: Any, b: Any) -> Any:
        kinds = [(name == "where" and i == 0) or operation.takes_booleans for i in range(operation.arity)]
        given = (a, b, a)[: operation.arity] if name != "where" else (b, a, b)
        result = function(*(value > 1.0 if kind else value for value, kind in zip(given, kinds, strict=True)))
        return where(result, 1.0, 0.0) if operation.boolean else result

    def formula(function: Any, where: Any, p: Any, g: Any, m: Any) -> Any:
        alone = operated(function, where, p, g)
        return alone + (operated(function, where, m + g, p * m) * g - alone**2 * p) / (
            1.0 + operated(function, where, g * g, m) * m
        )

    @rule
    def made(p: Any, g: Any, m: Any) -> Any:
        return formula(partial(apply, name), fallline.math.where, p, g, m), m

    arrays = drawn(made)
    by_numpy = np.true_divide if name == "divide" else getattr(np, name)
    expected = formula(by_numpy, np.where, *(arrays[key] for key in ("p", "g", "m")))
    assert read_update(made, arrays, {}) == pytest.approx(expected, rel=1e-9, abs=1e-12)


# ---------------------------------------------------------------------------------------------------------------------
# Any formula
# ---------------------------------------------------------------------------------------------------------------------


@settings(max_examples=300, derandomize=True, deadline=None, database=None)
@given(formulas(7, 2))
def test_random_formulas(trees: tuple[Tree, ...]) -> None:
    @rule
    def formula(p: Any, g: Any, m: Any, v: Any, *, lr: float = 0.5, mu: float = 0.9, t: Any) -> Any:
        names = {"p": p, "g": g, "m": m, "v": v, "lr": lr, "mu": mu, "t": t}
        return traced(trees[0], names), traced(trees[1], names), v

    arrays, numbers = drawn(formula), {"lr": 0.5, "mu": 0.9, "t": 3.0}
    exact = truth(trees[0], {**arrays, **numbers})
    with np.errstate(invalid="ignore"):
        found = read_update(formula, arrays, numbers)
        close = np.abs(found - exact.exact) <= exact.margin + 1e-9
    # What is taken off the parameter must be of a size at which the subtraction tells; infinities may be read apart.
    judged = np.isfinite(exact.margin) & (np.abs(exact.exact) < 1e6)
    assert close[judged].all(), formula.latex()


BRACKETS = """
p - (g - m)   p - (g + m)   p - g - m   p - (g - (m - v))   (p - g) * (m - v)   -(p + g)   -(p - g) / m
p - g / m * v   p / (g / m)   p / g / m   (p / g) * m   p * (g / m)   1 / (1 / g)   1 / g / p   p / (g * m)
(p - g) / (m - v)   1 / 2   -p * g   (-p) * g   p * (-g)   (-p) * (-g)   p / -g   -p / -g   p - (-g)   p + (-g)
-(-p)   lr * -g   2 * -g   -p * -2   p * -2   -2 * p   p * -2 * g   p - -2   p + -2 * g   lr * (-2 * g)   -1 * g
-1.0 + g   g / -2   2 * 3 * g   g * 2 * 3   (p + g) ** 2   -(p ** 2)   (-p) ** 2   p ** 2 ** 3   (p ** 2) ** 3
p ** -1   p ** (g + m)   (p * g) ** 2   (-p) ** 3   (p / g) ** 2   p ** 2 / g ** 2   1 / (p + g) ** 2   p * p * g * g
p * g * p   (p + g) * (p + g)   (-2) ** t * g   (-1) ** t * g   (-0.5) ** t   2 ** t * g   1e-8 ** t + g
(1e-8 * g) ** 2   (2.5e-7) ** 2 * g   p ** 0.5   p ** (1 / 3)   sqrt(p) ** 2   sqrt(p + g) * m   sqrt(sqrt(p))
exp(p) ** 2   exp(-p * g)   log(p / g)   exp(p - g) * m   abs(p - g) ** 2   abs(-p) * g   sign(p - g) * m
minimum(p, g) * m   minimum(maximum(p, -1), 1) - g   maximum(-p, -g) * 2   where(p > g, p, g) * m
m * where(p > g, p, g)   where(p > g, p, g) ** 2   where(p > g, p, g) + m   m / where(p > g, p, g)
where((p > 1) & (g > 1) | ~(m > 1), p, -p)   where(~((p > 1) & (g > 1)), p, -p)
where((p > 1) & ((g > 1) | (m > 1)), p, g)   where(p > g, where(p > m, m, p), g)   where(p + g > 2 * m, p, g)
where(p - g < -0.1, p, g)   where(p == g, p, g * m)   sum(g) * p   p * sum(g)   sum(g) ** 2   sum(g ** 2)
sum(g * g) ** 2   sum(p - g) * m   sum(g) + p   sum(-g)   sum(2 * g)   sum(g) / sum(p)   sum(g / p) * m
sum(abs(g)) * p   sum(g * p * m)   sum(sum(g, channels=True)) * p   sum(g * sum(p))   dot(p, g) * m   dot(p, g) ** 2
dot(-p, g)   dot(p + g, m) / dot(m, m)   dot(p, g, channels=True) * m   dot(2 * g, p) * m   sqrt(dot(g, g)) * p
sqrt(dot(g, g)) ** 2   sqrt(sum(g ** 2))   sqrt(sum(g * g, channels=True)) * p   1 / sqrt(dot(g, g))
sum(g, channels=True) * p   sum(g, channels=True) ** 2   sqrt(sum(g)) * p   -sum(g) * p   sum(g) * sum(p)
sum(p) * 2   g * 0.1234567891   g * 0.9999999   g * 1.0000001   g * 123456789   g * 1e6   g / 1e-8
lr * g / (1 - mu ** t) / 2   g - 0   where(g > 1, g, 0) * 2   lr * mu * -1 * g   (lr * mu) ** 2 * g
(1 - mu) * (1 - mu) * g   sqrt(1 - mu ** t) / (1 - mu) * g   (-p) ** 2 * -g   g / -p / -m   -(p - g) * -(m - v)
g * 2.5e-7   (2.5e-7 * p) ** 2   2.5e7 ** -1 * g   sum(-g) * -p   dot(-g, -g) * p   p * sum(-g / p)   1 * (p + g) - g
-(1 * (p + g))   sum(g) * sum(p) * m   where(p > g, sum(g), p) * m   sum(g, all_tensors=True) * p
"""


@pytest.mark.parametrize("expression", [case for line in BRACKETS.split("\n") for case in line.split("   ") if case])
def test_brackets_and_signs(expression: str) -> None:
    dialect = {name: getattr(fallline.math, name) for name in fallline.math.__all__}

    @rule
    def formula(p: Any, g: Any, m: Any, v: Any, *, lr: float = 0.5, mu: float = 0.9, t: Any) -> Any:
        return eval(expression, {**dialect, "p": p, "g": g, "m": m, "v": v, "lr": lr, "mu": mu, "t": t}), m, v

    arrays, numbers = drawn(formula), {"lr": 0.5, "mu": 0.9, "t": 3.0}
    plan = make_plan(formula.trace())
    host = host_scalars(plan)
    expected, _ = evaluate(plan, arrays, host.values(*[numbers[name] for name in host.names]))
    assert read_update(formula, arrays, numbers) == pytest.approx(expected, rel=1e-9, abs=1e-15)
