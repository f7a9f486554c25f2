"""The reference, on NumPy and torch and every type, against loops written by hand over single numbers."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

import fallline as fl
from fallline import rules
from fallline.kernels import evaluate, host_scalars
from fallline.math import exp, log, maximum, minimum, sign, sqrt, sum, where
from fallline.rules import adam
from fallline.symbolic import Rule, make_plan
from tests.kernels.runner import Arrays, drawn, in_torch, numbers, reference, relative

# ---------------------------------------------------------------------------------------------------------------------
# Rules, and what each does to one number after the other
# ---------------------------------------------------------------------------------------------------------------------


@fl.rule
def trust_of_rows(p: Any, g: Any, v: Any, *, lr: float = 0.1, beta: float = 0.9) -> Any:
    v = beta * v + (1 - beta) * sum(g * g, channels=True)
    return lr * sqrt(sum(p * p)) * g / sqrt(v), v


@fl.rule
def everything(p: Any, g: Any, m: Any, *, lr: float = 0.1, t: Any) -> Any:
    m = where((g > 0) & ~(p < 0) | (t > 5), minimum(m, g), maximum(m, -g))
    return lr * sign(p) * exp(-m * m) + log(abs(p) + 1) ** 2 / t, m


Row = list[float]


def adam_by_hand(p: list[Row], g: list[Row], m: list[Row], v: list[Row], t: int) -> tuple[list[Row], ...]:
    update, m, v = copy.deepcopy(p), copy.deepcopy(m), copy.deepcopy(v)
    for i, row in enumerate(g):
        for j, x in enumerate(row):
            m[i][j] = 0.9 * m[i][j] + 0.1 * x
            v[i][j] = 0.999 * v[i][j] + 0.001 * x * x
            update[i][j] = 0.001 * (m[i][j] / (1 - 0.9**t)) / (math.sqrt(v[i][j] / (1 - 0.999**t)) + 1e-8)
    return update, m, v


def momentum_by_hand(p: list[Row], g: list[Row], b: list[Row], t: int) -> tuple[list[Row], ...]:
    update, b = copy.deepcopy(p), copy.deepcopy(b)
    for i, row in enumerate(g):
        for j, x in enumerate(row):
            b[i][j] = 0.9 * b[i][j] + x
            update[i][j] = 0.001 * b[i][j]
    return update, b


def trust_by_hand(p: list[Row], g: list[Row], v: list[Row], t: int) -> tuple[list[Row], ...]:
    update, v = copy.deepcopy(p), copy.deepcopy(v)
    size = math.sqrt(math.fsum(x * x for row in p for x in row))
    for i, row in enumerate(g):
        energy = math.fsum(x * x for x in row)
        for j, x in enumerate(row):
            v[i][j] = 0.9 * v[i][j] + 0.1 * energy
            update[i][j] = 0.1 * size * x / math.sqrt(v[i][j])
    return update, v


def everything_by_hand(p: list[Row], g: list[Row], m: list[Row], t: int) -> tuple[list[Row], ...]:
    update, m = copy.deepcopy(p), copy.deepcopy(m)
    for i, row in enumerate(g):
        for j, x in enumerate(row):
            position = p[i][j]
            m[i][j] = min(m[i][j], x) if (x > 0 and position >= 0) or t > 5 else max(m[i][j], -x)
            push = 0.1 * math.copysign(1.0, position) * math.exp(-(m[i][j] ** 2))
            update[i][j] = push + math.log(abs(position) + 1) ** 2 / t
    return update, m


HANDS: dict[str, tuple[Rule, Callable[..., tuple[list[Row], ...]]]] = {
    "adam": (adam, adam_by_hand),
    "momentum": (rules.momentum, momentum_by_hand),
    "sums": (trust_of_rows, trust_by_hand),
    "choices and functions": (everything, everything_by_hand),
}


@dataclass(frozen=True)
class Kind:
    """A library's tensors of a type, the type of the results, and how exact they are."""

    make: Callable[[Any], Any]
    result: str
    tolerance: float


KINDS = {
    "numpy float16": Kind(lambda a: np.array(a, np.float16), "float32", 1e-6),
    "numpy float32": Kind(lambda a: np.array(a, np.float32), "float32", 1e-6),
    "numpy float64": Kind(lambda a: np.array(a, np.float64), "float64", 1e-14),
    "torch float16": Kind(lambda a: torch.tensor(a, dtype=torch.float16), "torch.float32", 1e-6),
    "torch bfloat16": Kind(lambda a: torch.tensor(a, dtype=torch.bfloat16), "torch.float32", 1e-6),
    "torch float32": Kind(lambda a: torch.tensor(a, dtype=torch.float32), "torch.float32", 1e-6),
    "torch float64": Kind(lambda a: torch.tensor(a, dtype=torch.float64), "torch.float64", 1e-14),
}


def as_rows(tensor: Any) -> list[Row]:
    """The numbers that a tensor holds, exactly, as rows of Python's floats."""
    rows: list[Row] = tensor.to(torch.float64).tolist() if isinstance(tensor, torch.Tensor) else tensor.tolist()
    return [[float(x) for x in row] for row in rows]


@pytest.mark.parametrize("t", [1, 7])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize(("rule", "by_hand"), HANDS.values(), ids=HANDS)
def test_against_a_loop(rule: Rule, by_hand: Callable[..., tuple[list[Row], ...]], kind: Kind, t: int) -> None:
    tensors = {name: kind.make(array) for name, array in drawn(rule, (4, 6), "float64").items()}
    expected = by_hand(*map(as_rows, tensors.values()), t)
    update, states = reference(rule, tensors, numbers(rule, t))
    for found, wanted in zip((update, *states.values()), expected, strict=True):
        assert str(found.dtype) == kind.result
        assert relative(as_rows(found), wanted) <= kind.tolerance


# ---------------------------------------------------------------------------------------------------------------------
# Inputs stay as they are
# ---------------------------------------------------------------------------------------------------------------------


@fl.rule
def handing_on(p: Any, g: Any, a: Any, b: Any, *, lr: float = 0.1) -> Any:
    return g, p, a


@fl.rule
def constant(p: Any, g: Any, a: Any, b: Any, *, lr: float = 0.1) -> Any:
    return lr, 0.0, lr * 2


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize("rule", [*rules.ALL.values(), trust_of_rows, everything, handing_on, constant], ids=str)
def test_the_inputs_are_not_changed(rule: Rule, library: str) -> None:
    arrays = drawn(rule, (3, 4), "float32")
    before = copy.deepcopy(arrays)
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()} if library == "torch" else arrays
    update, states = reference(rule, tensors, numbers(rule, 2))
    for name, array in before.items():
        np.testing.assert_array_equal(arrays[name], array)
    for result in (update, *states.values()):  # nor would the results change with them
        assert not any(np.shares_memory(np.asarray(result), array) for array in arrays.values())
    assert update.shape == (3, 4)
    assert list(states) == [state.name for state in rule.tensor_states]
    assert all(state.shape == (3, 4) for state in states.values())


SHAPES: list[tuple[int, ...]] = [(), (1,), (5,), (0,), (3, 0), (2, 3), (2, 3, 4), (1, 1, 1, 7)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("rule", [adam, trust_of_rows, everything, constant], ids=str)
def test_numpy_and_torch_agree_on_every_shape(rule: Rule, shape: tuple[int, ...]) -> None:
    arrays = drawn(rule, shape, "float64")
    update, states = reference(rule, arrays, numbers(rule, 3))
    torch_update, torch_states = reference(rule, in_torch(arrays), numbers(rule, 3))
    for found, wanted in zip((torch_update, *torch_states.values()), (update, *states.values()), strict=True):
        assert found.shape == shape == wanted.shape
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-14)


def strided(arrays: Arrays) -> Arrays:
    """The same numbers, every second of an array that is twice as long."""
    return {name: np.repeat(array, 2, axis=-1)[..., ::2] for name, array in arrays.items()}


def transposed(arrays: Arrays) -> Arrays:
    return {name: np.asfortranarray(array) for name, array in arrays.items()}


@pytest.mark.parametrize("layout", [strided, transposed])
@pytest.mark.parametrize("rule", [adam, trust_of_rows], ids=str)
def test_how_tensors_lie_does_not_matter(rule: Rule, layout: Callable[[Arrays], Arrays]) -> None:
    arrays = drawn(rule, (3, 4), "float64")
    for given in (layout(arrays), {name: torch.from_numpy(a) for name, a in layout(arrays).items()}):
        update, _ = reference(rule, given, numbers(rule))
        np.testing.assert_allclose(np.asarray(update), reference(rule, arrays, numbers(rule))[0], rtol=1e-14)


# ---------------------------------------------------------------------------------------------------------------------
# Autograd
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [adam, rules.momentum, trust_of_rows, everything], ids=str)
def test_autograd_follows(rule: Rule) -> None:
    tensors = {name: tensor.requires_grad_() for name, tensor in in_torch(drawn(rule, (2, 3), "float64")).items()}
    names = list(tensors)

    def step(*values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        update, states = reference(rule, dict(zip(names, values, strict=True)), numbers(rule, 3))
        return update, *states.values()

    assert torch.autograd.gradcheck(step, tuple(tensors.values()), atol=1e-6)


def test_autograd_goes_through_half_precision() -> None:
    tensors = in_torch(drawn(rules.momentum, (3,), "float64"), torch.bfloat16)
    tensors["g"].requires_grad_()
    update, _ = reference(rules.momentum, tensors, numbers(rules.momentum))
    torch.autograd.backward(update.sum())
    assert tensors["g"].grad is not None
    assert tensors["g"].grad.tolist() == pytest.approx([1e-3] * 3, rel=1e-2)


# ---------------------------------------------------------------------------------------------------------------------
# Numbers that are none
# ---------------------------------------------------------------------------------------------------------------------


@fl.rule
def one_of_each(p: Any, g: Any, a: Any, b: Any, c: Any, d: Any, e: Any, *, lr: float = 1.0) -> Any:
    return sign(g), minimum(g, 0.0), maximum(0.0, g), sqrt(g), log(g), where(g > 0, g, -g)


OF_EACH: dict[str, tuple[float, list[float]]] = {
    "NaN": (math.nan, [math.nan] * 6),
    "infinity": (math.inf, [1.0, 0.0, math.inf, math.inf, math.inf, math.inf]),
    "negative infinity": (-math.inf, [-1.0, -math.inf, 0.0, math.nan, math.nan, math.inf]),
    "zero": (0.0, [0.0, 0.0, 0.0, 0.0, -math.inf, 0.0]),
    "negative": (-4.0, [-1.0, -4.0, 0.0, math.nan, math.nan, 4.0]),
}


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize(("gradient", "expected"), OF_EACH.values(), ids=OF_EACH)
def test_what_is_no_number(gradient: float, expected: list[float], library: str) -> None:
    arrays = {name: np.ones(2) for name in "pabcde"} | {"g": np.full(2, gradient)}
    tensors = in_torch(arrays) if library == "torch" else arrays
    update, states = reference(one_of_each, tensors, numbers(one_of_each))
    found = [float(value[0]) for value in (update, *states.values())]
    np.testing.assert_array_equal(found, expected)


def test_the_host_gives_infinities_where_tensors_would() -> None:
    @fl.rule
    def extreme(p: Any, g: Any, *, a: float = 1.0, b: float = 0.0) -> Any:
        return g * (a / b) + g * sqrt(a) + g * log(b) + g * exp(a * 1000) + g * a**0.3 + g * b**-1 + g / (2 / 1 - 2)

    plan = make_plan(extreme.trace())
    host = host_scalars(plan)
    for a, b in [(1.0, 0.0), (-1.0, 0.0), (0.0, 0.0), (math.nan, 1.0), (-8.0, -1.0)]:
        values = host.values(*[{"a": a, "b": b}[name] for name in host.names])
        columns = host.columns({"a": np.array([a]), "b": np.array([b])}, 1)[0]
        np.testing.assert_array_equal(values, columns)
        assert all(isinstance(value, (float, bool)) for value in values)
        update, _ = evaluate(plan, {"p": np.ones(2), "g": np.ones(2)}, values)
        assert not np.isfinite(update).any()


# ---------------------------------------------------------------------------------------------------------------------
# Where the reference takes the kernel's place
# ---------------------------------------------------------------------------------------------------------------------


@fl.rule
def keeping(p: Any, g: Any, old: Any, old_g: Any, *, lr: float = 0.1) -> Any:
    return lr * (g + old - old_g), p, g


@fl.rule
def exchanging(
    p: Any,
    g: Any,
    a: Any = fl.state(init=1.0),  # noqa: B008
    b: Any = fl.state(init=2.0),  # noqa: B008
    *,
    lr: float = 0.1,
) -> Any:
    return lr * a * g, b, a


@pytest.mark.parametrize("rule", [keeping, exchanging, handing_on, adam], ids=str)
def test_a_strided_parameter_goes_where_a_contiguous_one_goes(rule: Rule) -> None:
    dense = torch.linspace(1, 2, 5).requires_grad_()
    loose = torch.linspace(1, 2, 5).repeat_interleave(2)[::2].requires_grad_()
    optimizers = [fl.Optimizer([parameter], rule, lr=0.5) for parameter in (dense, loose)]
    for factor in (1.0, -2.0, 0.5):
        for parameter, optimizer in zip((dense, loose), optimizers, strict=True):
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            parameter.grad.copy_(torch.arange(5.0) * factor)  # the same tensor each time, as zero_grad may leave it
            optimizer.step()
    torch.testing.assert_close(loose, dense)
    for name, state in optimizers[0].state[dense].items():
        torch.testing.assert_close(optimizers[1].state[loose][name], state)
