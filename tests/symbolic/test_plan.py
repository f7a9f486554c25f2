"""A plan: what a step costs, what the host works out, which passes there are, and that rewriting keeps the values."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import fallline as fl
from fallline.kernels import evaluate, host_scalars
from fallline.math import abs, dot, exp, maximum, sign, sqrt, sum, where
from fallline.rules import (
    adagrad,
    adam,
    adamw,
    amsgrad,
    centered_rmsprop,
    dampened_momentum,
    gradient_descent,
    heavy_ball,
    l2,
    maximize,
    momentum,
    nesterov,
    rmsprop,
)
from fallline.symbolic import Cost, Expression, Graph, Plan, Rank, Rule, make_plan
from fallline.symbolic.expression import walk
from tests.symbolic.formulas import Tree, formulas, traced, truth

# ---------------------------------------------------------------------------------------------------------------------
# Rules with reductions
# ---------------------------------------------------------------------------------------------------------------------


@fl.rule
def trust(p: Any, g: Any, *, lr: float = 0.1, eps: float = 1e-6) -> Any:
    return lr * sqrt(sum(p * p)) / (sqrt(sum(g * g)) + eps) * g


@fl.rule
def normed_momentum(p: Any, g: Any, m: Any, *, lr: float = 0.1, mu: float = 0.9) -> Any:
    m = mu * m + g
    return lr * m / sqrt(dot(m, m)), m


@fl.rule
def centred_and_normed(p: Any, g: Any, *, lr: float = 0.1) -> Any:
    count = sum(p * 0 + 1)
    centred = g - sum(g) / count
    return lr * centred / sqrt(sum(centred * centred))


@fl.rule
def row_scaled(p: Any, g: Any, v: Any, *, lr: float = 0.1, beta: float = 0.9) -> Any:
    v = beta * v + (1 - beta) * sum(g * g, channels=True)
    return lr * g / sqrt(v), v


@fl.rule
def sum_of_rows(p: Any, g: Any, *, lr: float = 0.1) -> Any:
    return lr * g / sum(sqrt(sum(g * g, channels=True)))


@fl.rule
def constant_step(p: Any, g: Any, count: Any, *, lr: float = 0.1) -> Any:
    return lr * 2, count + 1


@fl.rule
def state_kept(p: Any, g: Any, m: Any, *, lr: float = 0.1) -> Any:
    return lr * m, m


@fl.rule
def state_overwritten(p: Any, g: Any, m: Any, *, lr: float = 0.1) -> Any:
    return lr * g, g


@dataclass(frozen=True)
class Known:
    """What a step of a rule costs: counted by hand, in numbers moved, states, operations and passes.

    `hoisted` are the scalars that the host works out, one column of the table each.
    """

    rule: Rule
    moved: int
    states: int
    operations: int
    passes: int
    hoisted: int


#: Operations: what is done at every element, the subtraction from the parameter and additions to sums among it; what
#: two passes need is done in both.
KNOWN = {
    "gradient_descent": Known(gradient_descent, 3, 0, 2, 1, 1),
    "momentum": Known(momentum, 5, 1, 4, 1, 2),
    "dampened_momentum": Known(dampened_momentum, 5, 1, 8, 1, 6),
    "nesterov": Known(nesterov, 5, 1, 6, 1, 2),
    "adagrad": Known(adagrad, 5, 1, 7, 1, 2),
    "rmsprop": Known(rmsprop, 5, 1, 9, 1, 4),
    "centered_rmsprop": Known(centered_rmsprop, 7, 2, 13, 1, 4),
    "adam": Known(adam, 7, 2, 14, 1, 8),
    "amsgrad": Known(amsgrad, 9, 3, 15, 1, 8),
    "adamw": Known(adamw, 7, 2, 16, 1, 9),
    "l2(adam)": Known(l2(adam), 7, 2, 16, 1, 9),
    "maximize(momentum)": Known(maximize(momentum), 5, 1, 5, 1, 2),
    "heavy_ball(rmsprop)": Known(heavy_ball(rmsprop), 7, 2, 11, 1, 5),
    "trust": Known(trust, 5, 0, 6, 2, 2),
    "normed_momentum": Known(normed_momentum, 7, 1, 9, 2, 2),
    "centred_and_normed": Known(centred_and_normed, 6, 0, 11, 3, 1),
    "row_scaled": Known(row_scaled, 6, 1, 8, 2, 3),
    "sum_of_rows": Known(sum_of_rows, 4, 0, 5, 3, 1),
    "constant_step": Known(constant_step, 4, 1, 2, 1, 1),
    "state_kept": Known(state_kept, 3, 1, 2, 1, 1),
    "state_overwritten": Known(state_overwritten, 4, 1, 2, 1, 1),
}


@pytest.mark.parametrize("itemsize", [4, 8])
@pytest.mark.parametrize("known", KNOWN.values(), ids=KNOWN)
def test_cost(known: Known, itemsize: int) -> None:
    expected = Cost(known.moved * itemsize, known.states * itemsize, known.operations, known.passes)
    assert known.rule.cost(itemsize) == expected


@pytest.mark.parametrize("known", KNOWN.values(), ids=KNOWN)
def test_the_host_works_out_what_depends_on_scalars_alone(known: Known) -> None:
    plan = make_plan(known.rule.trace())
    assert len(plan.hoisted) == known.hoisted
    assert all(node.rank == Rank.SCALAR and node.operation != "constant" for node in plan.hoisted)
    for node in below_the_host(plan):
        assert node.rank > Rank.SCALAR or node.operation == "constant"


def below_the_host(plan: Plan) -> set[Expression]:
    """What is left to compute for each tensor once the hoisted scalars are known."""
    hoisted = set(plan.hoisted)
    left: set[Expression] = set()
    waiting = [plan.update, *plan.new_states.values()]
    while waiting:
        node = waiting.pop()
        if node not in left and node not in hoisted:
            left.add(node)
            waiting += node.args
    return left


LEVELS: dict[str, tuple[Rule, list[list[str]], list[set[str]]]] = {
    "none": (adam, [[]], [{"p", "g", "m", "v"}]),
    "two side by side": (trust, [["sum", "sum"], []], [{"p", "g"}, {"p", "g"}]),
    "of a new state": (normed_momentum, [["sum"], []], [{"g", "m"}, {"p", "g", "m"}]),
    "one on the other": (centred_and_normed, [["sum", "sum"], ["sum"], []], [{"p", "g"}, {"g"}, {"p", "g"}]),
    "channels": (row_scaled, [["channel_sum"], []], [{"g"}, {"p", "g", "v"}]),
    "of channels": (sum_of_rows, [["channel_sum"], ["sum"], []], [{"g"}, set(), {"p", "g"}]),
    "a tensor that is not needed": (state_kept, [[]], [{"p", "m"}]),
    "a state that is not read": (state_overwritten, [[]], [{"p", "g"}]),
}


@pytest.mark.parametrize(("rule", "reductions", "loads"), LEVELS.values(), ids=LEVELS)
def test_reductions_split_passes(rule: Rule, reductions: list[list[str]], loads: list[set[str]]) -> None:
    plan = make_plan(rule.trace())
    assert [[reduction.operation for reduction in one.reductions] for one in plan.passes] == reductions
    assert [set(one.loads) for one in plan.passes] == loads


def test_a_reduction_used_twice_is_computed_once() -> None:
    @fl.rule
    def twice(p: Any, g: Any, *, lr: float = 0.1) -> Any:
        return lr * g / sqrt(sum(g * g)) + p / sum(g * g)

    assert len(make_plan(twice.trace()).reductions) == 1


# ---------------------------------------------------------------------------------------------------------------------
# Rewriting
# ---------------------------------------------------------------------------------------------------------------------


def unsimplified(graph: Graph) -> Plan:
    """A plan that evaluates the graph as it was traced: every scalar node of its own, nothing rewritten."""
    hoisted = {node for node in walk(graph.roots) if node.rank == Rank.SCALAR and node.operation != "constant"}
    return Plan(graph, tuple(hoisted), (), graph.update, graph.new_states, {})


def values(plan: Plan, arrays: dict[str, Any], numbers: dict[str, float]) -> list[Any]:
    host = host_scalars(plan)
    update, states = evaluate(plan, arrays, host.values(*[numbers[name] for name in host.names]))
    return [update, *states.values()]


@settings(max_examples=200, derandomize=True, deadline=None, database=None)
@given(formulas(10, 3))
def test_rewriting_keeps_the_values(trees: tuple[Tree, ...]) -> None:
    @fl.rule
    def formula(p: Any, g: Any, m: Any, v: Any, *, lr: float = 0.5, mu: float = 0.9, t: Any) -> Any:
        names = {"p": p, "g": g, "m": m, "v": v, "lr": lr, "mu": mu, "t": t}
        return tuple(traced(tree, names) for tree in trees)

    generator = np.random.default_rng(2)
    arrays = {name: generator.standard_normal((3, 5)) for name in "pgmv"}
    numbers = {"lr": -0.5, "mu": 0.9, "t": 3.0}
    graph = formula.trace()
    before, after = values(unsimplified(graph), arrays, numbers), values(make_plan(graph), arrays, numbers)
    for tree, old, new in zip(trees, before, after, strict=True):
        expected = truth(tree, {**arrays, **numbers})
        assert expected.denied_by(old) == ""
        assert expected.denied_by(new) == ""


#: An update, and how many operations on tensors it takes once rewritten, the subtraction from p not among them.
REWRITTEN = {
    "g * 1": 0,
    "1 * g": 0,
    "g / 1": 0,
    "g + -0.0": 0,
    "-0.0 + g": 0,
    "g + 0": 1,  # -0.0 becomes 0.0
    "g - 0": 0,
    "g ** 1": 0,
    "-(-g)": 0,
    "g ** 2": 1,
    "g ** 0.5": 1,
    "g * (2 * 3 + 1)": 1,
    "g * (lr * 2 / t)": 1,
    "g / lr": 1,
    "g / (1 - lr ** t)": 1,
    "g * g + g * g": 2,
    "(p - g) * (p - g)": 2,
    "sqrt(4.0) * g": 1,
    "where(lr > 1, g, p)": 1,
    "where(t == 1, lr, 2 * lr) * g": 1,
    "g * 0": 1,  # NaN stays NaN
    "g - g": 1,
    "g / p": 1,
}


@pytest.mark.parametrize(("update", "operations"), REWRITTEN.items(), ids=REWRITTEN)
def test_rewriting_saves_operations(update: str, operations: int) -> None:
    @fl.rule
    def formula(p: Any, g: Any, *, lr: float = 0.5, t: Any) -> Any:
        return eval(update, {"p": p, "g": g, "lr": lr, "t": t, "sqrt": sqrt, "where": where})

    assert formula.cost().operations == operations + 1


ITERATED = """
import fallline as fl

@fl.rule
def iterated(p, g, *, lr=0.1):
    for _ in range(100):
        g = g * g + g
        lr = lr * lr + lr
    return lr * g

print(iterated.cost().operations)
"""


def test_expressions_that_are_used_again_and_again_take_no_longer(tmp_path: Path) -> None:
    """In a process of its own, which can be ended: to walk down every way through such a graph takes forever."""
    (tmp_path / "iterated.py").write_text(ITERATED)
    command = [sys.executable, str(tmp_path / "iterated.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout.strip() == "202", done.stderr


def test_a_long_formula_has_a_plan() -> None:
    @fl.rule
    def long(p: Any, g: Any, *, lr: float = 0.1) -> Any:
        for factor in range(2000):
            g = g + p * (factor + 2.5)
        return lr * g

    assert long.cost().operations == 4002


def test_what_a_rule_can_say_has_a_place_in_the_plan() -> None:
    @fl.rule
    def all_of_it(p: Any, g: Any, m: Any, *, lr: float = 0.1, t: Any) -> Any:
        clipped = maximum(abs(g), 0.1) * sign(g)
        m = where((clipped > 0.5) & ~(m == 0) | (t != 1), exp(-m), m / sum(m, channels=True))
        return lr * clipped, m

    operations = {node.operation for node in walk(make_plan(all_of_it.trace()).new_states.values())}  # type: ignore[arg-type]
    assert operations >= {"where", "logical_and", "logical_or", "logical_not", "equal", "not_equal", "exp", "maximum"}
