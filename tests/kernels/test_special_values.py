"""Every operation in every form, at the numbers where forms part: NaN, infinities, both zeros, the smallest numbers.

The judge is NumPy's own function of the name, in double precision or, for float32, in float32.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import fallline.math
from fallline.kernels import HostScalars, evaluate, host_scalars
from fallline.symbolic import Rule, make_plan
from fallline.symbolic.expression import Expression, apply, walk, wrap
from fallline.symbolic.operations import OPERATIONS, REDUCTIONS
from fallline.symbolic.plan import simplify
from fallline.symbolic.state import State
from tests.kernels.runner import kernel_step

Array = NDArray[Any]

ELEMENTWISE = {name: operation for name, operation in OPERATIONS.items() if name not in REDUCTIONS}
JUDGE: dict[str, Callable[..., Any]] = {
    name: getattr(np, name) for name in ELEMENTWISE if name != "divide"
} | {"divide": np.true_divide}  # fmt: skip
#: The sign of a zero is nobody's promise where two zeros are compared.
ANY_ZERO = ("minimum", "maximum", "sign")
NUMBERS = [math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -2.0, 3.0, -2.5]


def numbers(dtype: Any) -> list[float]:
    kind = np.finfo(dtype)
    smallest = float(kind.smallest_subnormal)
    return [*NUMBERS, smallest, -smallest, float(kind.tiny) / 4, float(kind.tiny), float(kind.max), -float(kind.max)]


def pairs(dtype: Any) -> tuple[Array, Array]:
    a, b = zip(*itertools.product(numbers(dtype), repeat=2), strict=True)
    return np.array(a, dtype), np.array(b, dtype)


def traced(name: str, a: Expression, b: Expression) -> Expression:
    """An operation of a and b, of as many as it takes; truth values are made of numbers, and numbers of them."""
    operation = ELEMENTWISE[name]
    if name == "where":
        return apply(name, a > 0.0, a, b)
    values = [value > 0.0 if operation.takes_booleans else value for value in (a, b)[: operation.arity]]
    result = apply(name, *values)
    return apply("where", result, 1.0, 0.0) if operation.boolean else result


def judged(name: str, a: Any, b: Any) -> Any:
    operation = ELEMENTWISE[name]
    with np.errstate(all="ignore"):
        if name == "where":
            return np.where(a > 0, a, b)
        values = [value > 0 if operation.takes_booleans else value for value in (a, b)[: operation.arity]]
        return np.asarray(JUDGE[name](*values), a.dtype)


def check(name: str, found: Any, a: Array, b: Array, rtol: float) -> None:
    found, known = np.asarray(found, a.dtype), judged(name, a, b)
    wrong = ~np.isclose(found, known, rtol=rtol, atol=0, equal_nan=True)
    if name not in ANY_ZERO:
        wrong |= (np.signbit(found) != np.signbit(known)) & ~np.isnan(known)
    listed = [f"{x!r}, {y!r}: {f!r}, not {k!r}" for x, y, f, k in zip(a[wrong], b[wrong], found[wrong], known[wrong])]  # noqa: B905
    assert not listed, f"{name} of " + "; ".join(listed[:5])


def everything(p: Any, g: Any, *states: Any) -> Any:
    return (0.0, *(traced(name, p, g) for name in ELEMENTWISE))


EVERYTHING = Rule(everything, "everything", tuple(State(name, 0.0) for name in ELEMENTWISE), {}, False)
ROUNDING = {np.float64: 1e-14, np.float32: 1e-6}
EACH_TYPE = pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])


def given(dtype: Any) -> dict[str, Array]:
    a, b = pairs(dtype)
    return {"p": a.copy(), "g": b, **{name: np.zeros_like(a) for name in ELEMENTWISE}}


@EACH_TYPE
def test_in_the_kernels(dtype: Any) -> None:
    a, b = pairs(dtype)
    tensors = given(dtype)
    kernel_step(EVERYTHING, np.dtype(dtype).name, [tensors], [{}])
    for name in ELEMENTWISE:
        check(name, tensors[name], a, b, ROUNDING[dtype])


@EACH_TYPE
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_in_the_reference(dtype: Any, library: str) -> None:
    a, b = pairs(dtype)
    tensors: dict[str, Any] = given(dtype)
    if library == "torch":
        tensors = {name: torch.from_numpy(array) for name, array in tensors.items()}
    _, states = evaluate(make_plan(EVERYTHING.trace()), tensors, ())
    for name in ELEMENTWISE:
        check(name, states[name], a, b, ROUNDING[dtype])


SCALARS = Expression("scalar", value="a"), Expression("scalar", value="b")
HOST = HostScalars(tuple(traced(name, *SCALARS) for name in ELEMENTWISE), ("a", "b"))
PAIRS = pairs(np.float64)


@pytest.mark.parametrize("form", ["values", "tensors", "columns"])
def test_on_the_host(form: str) -> None:
    a, b = PAIRS
    if form == "columns":
        table = HOST.columns({"a": a, "b": b}, len(a))
    elif form == "tensors":
        rows = [HOST.tensors(torch.tensor(x, dtype=torch.float64), y) for x, y in zip(*PAIRS, strict=True)]
        table = np.array([[float(value) for value in row] for row in rows])
    else:
        table = np.array([HOST.values(float(x), float(y)) for x, y in zip(*PAIRS, strict=True)])
    for column, name in enumerate(ELEMENTWISE):
        check(name, table[:, column], a, b, 1e-14)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_each_alone_on_the_host(name: str) -> None:
    """By Python's own functions where they can: together, one that fails sends all to NumPy's."""
    host = HostScalars((traced(name, *SCALARS),), ("a", "b"))
    check(name, [host.values(float(x), float(y))[0] for x, y in zip(*PAIRS, strict=True)], *PAIRS, 1e-14)


def constants(name: str, a: float, b: float) -> Expression:
    return traced(name, Expression("constant", value=float(a)), Expression("constant", value=float(b)))


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_in_constants(name: str) -> None:
    """Folded by the simplifier, or left to the host."""
    host = [HostScalars(simplify((constants(name, a, b),)), ()).values()[0] for a, b in zip(*PAIRS, strict=True)]
    check(name, host, *PAIRS, 1e-14)


#: 1/b is no number for them, and a division by a scalar is a multiplication by that.
NO_DIVISOR = [str(x) for x in numbers(np.float64) if 0 < abs(x) < np.finfo(np.float64).tiny]


#: What the simplifier rewrites beside a constant: only these are compiled.
REWRITTEN = ("add", "subtract", "multiply", "divide", "power")


@pytest.mark.parametrize(
    ("form", "name"),
    [*itertools.product(["numpy", "torch"], ELEMENTWISE), *itertools.product(["kernel"], REWRITTEN)],
)
@pytest.mark.parametrize("place", [0, 1])
def test_beside_a_constant(name: str, place: int, form: str) -> None:
    """What the simplifier makes of an operation by a constant is what the operation would be."""
    constants = NUMBERS[:9] if form == "kernel" else numbers(np.float64)
    known = [text for text in map(str, constants) if (name, place) != ("divide", 1) or text not in NO_DIVISOR]

    def by_constants(p: Any, g: Any, *states: Any) -> Any:
        sides = ([p, float(text)] if place else [float(text), p] for text in known)
        return (0.0, *(traced(name, *map(wrap, pair)) for pair in sides))

    rule = Rule(by_constants, "by constants", tuple(State(f"s{i}", 0.0) for i in range(len(known))), {}, False)
    values = np.array(numbers(np.float64))
    tensors: dict[str, Any] = {"p": values.copy(), "g": values, **{s.name: np.zeros_like(values) for s in rule.states}}
    if form == "kernel":
        kernel_step(rule, "float64", [tensors], [{}])
        found: dict[str, Any] = tensors
    else:
        plan = make_plan(rule.trace())
        given = {key: torch.from_numpy(array) for key, array in tensors.items()} if form == "torch" else tensors
        _, found = evaluate(plan, given, host_scalars(plan).values())
    for i, text in enumerate(known):
        sides = [np.full_like(values, float(text)), np.full_like(values, float(text))]
        sides[1 - place] = values
        check(name, found[f"s{i}"], sides[0], sides[1], 1e-14)


def test_zeros_of_two_signs_are_two_constants() -> None:
    p = Expression("tensor", value="p")
    roots = simplify((apply("maximum", p, 0.0), apply("maximum", p, -0.0)))
    assert {str(node.value) for node in walk(roots) if node.operation == "constant"} == {"0.0", "-0.0"}


@pytest.mark.parametrize("name", [name for name in ELEMENTWISE if name in fallline.math.__all__])
def test_on_plain_numbers(name: str) -> None:
    function = getattr(fallline.math, name)
    for a, b in zip(*PAIRS, strict=True):
        values = [float(a), float(b)][: ELEMENTWISE[name].arity]
        found = function(float(a) > 0, float(a), float(b)) if name == "where" else function(*values)
        check(name, [found], np.array([a]), np.array([b]), 1e-14)
