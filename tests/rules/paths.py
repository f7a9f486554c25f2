"""Where a rule leads on a function of five numbers: by the reference, and by its kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fallline.kernels import evaluate, host_scalars, kernel_for
from fallline.symbolic import Rule, make_plan
from tests.kernels.runner import step, table_of

Array = NDArray[np.float64]
Gradient = Callable[[Array], Array]
#: Hyperparameters, the same at every step or by the step.
Given = Mapping[str, Any] | Callable[[int], Mapping[str, Any]]

CURVATURES = np.array([0.5, 2.0, -1.0, 0.0, 7.0])
START = np.array([1.0, -2.0, 0.5, 3.0, -0.25])


def gradient(x: Array) -> Array:
    """The gradient of a quadratic with a curvature for each direction, and a slope."""
    return CURVATURES * x + 0.1


def path(rule: Rule, steps: int, given: Given, of: Gradient = gradient, start: Array = START) -> list[Array]:
    """Where a rule leads from the start, by the reference in double precision."""
    plan = make_plan(rule.trace(**_static(rule, given)))
    host = host_scalars(plan)
    p, states = start, {state.name: np.full_like(start, state.fill) for state in rule.states}
    places = []
    for t in range(1, steps + 1):
        numbers = _numbers(rule, given, t, start.ndim)
        values = host.values(*[numbers[name] for name in host.names])
        update, states = evaluate(plan, {"p": p, "g": of(p), **states}, values)
        p = p - update
        places.append(p)
    return places


def kernel_path(
    rule: Rule, steps: int, given: Given, of: Gradient = gradient, start: Array = START, dtype: str = "float64"
) -> list[Array]:
    """The same by the rule's kernel, in one type of number."""
    table_row = {name: np.zeros(start.shape, dtype) for name in ("p", "g")}
    table_row |= {state.name: np.full(start.shape, state.fill, dtype) for state in rule.states}
    table_row["p"][...] = start
    table = table_of(kernel_for(rule, dtype, _static(rule, given)), [table_row])
    places = []
    for t in range(1, steps + 1):
        table_row["g"][...] = of(table_row["p"].astype(np.float64))
        step(table, [_numbers(rule, given, t, start.ndim)])
        places.append(table_row["p"].astype(np.float64))
    return places


def _static(rule: Rule, given: Given) -> dict[str, Any]:
    return {name: value for name, value in _at(given, 1).items() if name in rule.static}


def _numbers(rule: Rule, given: Given, t: int, dimensions: int) -> dict[str, Any]:
    absent = {state.absent: float(t == 1) for state in rule.states}
    return {**rule.defaults, **_at(given, t), **absent, "t": float(t), "dimensions": dimensions}


def _at(given: Given, t: int) -> Mapping[str, Any]:
    return given(t) if callable(given) else given
