"""Kernels against the reference in double precision: every rule, type of number and shape, over several steps."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numba.core import event

import fallline as fl
from fallline import rules
from fallline.kernels import Kernel, SegmentTable, kernel_for, run_jointly
from fallline.kernels.table import CHUNK
from fallline.kernels.threads import WORTH_SHARING
from fallline.math import abs, dot, exp, maximum, minimum, sign, sqrt, sum, where
from fallline.rules import adam, adamw, amsgrad, centered_rmsprop, dampened_momentum, heavy_ball, l2, maximize, rmsprop
from fallline.symbolic import Rule
from tests.kernels.runner import (
    Arrays,
    Numbers,
    drawn,
    fill_in,
    kernel_step,
    numbers,
    reference_step,
    relative,
    step,
    table_of,
)

# ---------------------------------------------------------------------------------------------------------------------
# A user's rules, with what the library's own do not use
# ---------------------------------------------------------------------------------------------------------------------


@fl.rule
def trust(p: Any, g: Any, *, lr: float = 0.1, eps: float = 1e-6) -> Any:
    return lr * sqrt(sum(p * p)) / (sqrt(sum(g * g)) + eps) * g


@fl.rule
def normed_rows(p: Any, g: Any, v: Any, *, lr: float = 0.1, beta: float = 0.9) -> Any:
    v = beta * v + (1 - beta) * sum(g * g, channels=True)
    return lr * g / (sqrt(v) + 1e-8), v


@fl.rule
def both_sums(p: Any, g: Any, m: Any, *, lr: float = 0.1, mu: float = 0.9) -> Any:
    rows = sqrt(dot(g, g, channels=True)) + 1e-8
    m = mu * m + g / rows
    return lr * m / (1 + sqrt(sum(m * m)) / sum(rows)), m


@fl.rule
def centred(p: Any, g: Any, *, lr: float = 0.1) -> Any:
    away = g - sum(g) / sum(0 * g + 1)
    return lr * away / (sqrt(sum(away * away)) + 1e-3)


@fl.rule
def begun(
    p: Any,
    g: Any,
    one: Any = fl.state(init=1.5),  # noqa: B008
    first: Any = fl.state(init=lambda g: g),  # noqa: B008
    mixed: Any = fl.state(init=lambda p, g, lr: lr * g - p),  # noqa: B008
    *,
    lr: float = 0.1,
    t: Any,
) -> Any:
    one, first, mixed = 0.9 * one + 0.1 * abs(g), 0.5 * first + g, mixed + p / t
    return lr * first / one + 0.01 * mixed, one, first, mixed


@fl.rule
def branching(p: Any, g: Any, m: Any, *, lr: float = 0.1, bound: float = 0.5, t: Any) -> Any:
    clipped = minimum(maximum(g, -bound), bound)
    m = where((m * g > 0) & ~(g == 0) | (t <= 1), 0.9 * m + clipped, exp(-abs(m)))
    return lr * sign(m) * abs(m) ** 0.5, m


@fl.rule
def alternating(p: Any, g: Any, before: Any, *, lr: float = 0.1, t: Any) -> Any:
    return lr * (-1) ** t * (g - before), g


@fl.rule
def constants(p: Any, g: Any, one: Any, clock: Any, old: Any, *, lr: float = 0.1, t: Any) -> Any:
    return lr, 1.0, t, p


@fl.rule
def exchanging(p: Any, g: Any, a: Any, b: Any, *, lr: float = 0.1) -> Any:
    return lr * a, b, a + g


# ---------------------------------------------------------------------------------------------------------------------
# Rules x types x shapes
# ---------------------------------------------------------------------------------------------------------------------

TOLERANCE = {"float32": 3e-6, "float64": 1e-12}


@dataclass(frozen=True)
class Case:
    """A rule, hyperparameters other than its defaults, and how far off it may be where that is more than usual."""

    rule: Rule
    given: dict[str, float] = field(default_factory=dict)
    tolerance: dict[str, float] = field(default_factory=dict)
    reason: str = ""


CASES: dict[str, Case] = {
    "gradient_descent": Case(rules.gradient_descent, {"lr": 0.1}),
    "momentum": Case(rules.momentum, {"lr": 0.1}),
    "dampened_momentum": Case(dampened_momentum, {"lr": 0.1, "dampening": 0.3}),
    "nesterov": Case(rules.nesterov, {"lr": 0.1}),
    "adagrad": Case(rules.adagrad, {"lr": 0.1, "lr_decay": 0.1}),
    "rmsprop": Case(rmsprop, {"lr": 0.1}),
    "centered_rmsprop": Case(centered_rmsprop, {"lr": 0.1}, {"float32": 1e-5}, "v - ḡ² cancels in float32"),
    "adam": Case(adam, {"lr": 0.1}),
    "amsgrad": Case(amsgrad, {"lr": 0.1, "beta2": 0.9}),
    "adamw": Case(adamw, {"lr": 0.1}),
    "l2(adam)": Case(l2(adam), {"lr": 0.1, "weight_decay": 0.1}),
    "heavy_ball(rmsprop)": Case(heavy_ball(rmsprop), {"lr": 0.1}),
    "maximize(l2(dampened_momentum))": Case(
        maximize(l2(dampened_momentum)), {"lr": -0.1, "dampening": 0.5, "weight_decay": 0.1}
    ),
    "sums": Case(trust),
    "sums of channels": Case(normed_rows),
    "sums on sums of channels": Case(both_sums),
    "sums on sums": Case(centred, {}, {"float32": 1e-5}, "g less its mean cancels for a tensor of one number"),
    "states begun": Case(begun),
    "branches": Case(branching),
    "power of -1": Case(alternating),
    "constants": Case(constants),
    "states exchanged": Case(exchanging),
}
Shape = tuple[int, ...]
SHAPES: dict[str, list[Shape]] = {
    **{str(shape): [shape] for shape in [(), (1,), (7,), (8,), (15,), (16,), (17,), (100,), (3, 4), (64, 129)]},
    "one row": [(1, 50)],
    "many rows of one": [(200, 1)],
    "four dimensions": [(2, 3, 5, 7)],
    "shared by threads": [(WORTH_SHARING + 1_234,)],
    "rows shared by threads": [(700, WORTH_SHARING // 500)],
    "a chunk and one more": [(CHUNK + 1,)],
    "many small": [(1 + i % 7,) for i in range(100)],
    "mixed": [(), (17,), (3, 4), (CHUNK + 5,), (4, 1000), (2, 3, 5, 7), (1,), (2, 501)],
}
STEPS = 3


def sides(shape: Shape) -> Any:
    """On which side of zero each element lies, and stays: the gradients push away from it, so nothing cancels."""
    return np.random.default_rng(6).choice([-1.0, 1.0], shape)


def begun_tensors(rule: Rule, shapes: Sequence[Shape], dtype: str) -> list[Arrays]:
    """Parameters, and states as they are before the first step; the same numbers in every type."""
    tensors = []
    for shape in shapes:
        p = np.array(sides(shape) * np.random.default_rng(7).uniform(0.5, 1.5, shape), np.float32)
        states = {state.name: np.full(shape, state.fill, dtype) for state in rule.states}
        tensors.append({"p": np.array(p, dtype), "g": np.zeros(shape, dtype), **states})
    return tensors


def gradients(shapes: Sequence[Shape]) -> Iterator[list[Any]]:
    generator = np.random.default_rng(8)
    for _ in range(STEPS):
        yield [np.array(-sides(shape) * generator.uniform(0.5, 1.5, shape), np.float32) for shape in shapes]


def at_step(rule: Rule, t: int, **given: float) -> Numbers:
    absent = {state.absent: float(t == 1) for state in rule.states}
    return numbers(rule, t, **given, **absent)


Given = tuple[tuple[str, float], ...]


def by_kernel(rule: Rule, shapes: Sequence[Shape], given: Sequence[Given], dtype: str) -> list[Arrays]:
    """Where a few steps of the kernel lead."""
    tensors = begun_tensors(rule, shapes, dtype)
    table = table_of(kernel_for(rule, dtype), tensors)
    for t, new in enumerate(gradients(shapes), start=1):
        for arrays, gradient in zip(tensors, new, strict=True):
            arrays["g"][...] = gradient
        step(table, [at_step(rule, t, **dict(values)) for values in given])
    return tensors


@cache
def by_reference(rule: Rule, shapes: tuple[Shape, ...], given: tuple[Given, ...]) -> list[Arrays]:
    """Where the same steps of the reference lead, in double precision."""
    tensors = begun_tensors(rule, shapes, "float64")
    for t, new in enumerate(gradients(shapes), start=1):
        tensors = [
            reference_step(rule, {**arrays, "g": gradient}, at_step(rule, t, **dict(values)))
            for arrays, gradient, values in zip(tensors, new, given, strict=True)
        ]
    return tensors


def differences(
    case: Case, shapes: Sequence[Shape], given: Sequence[Given], dtype: str
) -> dict[tuple[int, str], float]:
    """Which tensors the kernel leads elsewhere than the reference, by position and name, and how far."""
    found = by_kernel(case.rule, shapes, given, dtype)
    expected = by_reference(case.rule, tuple(shapes), tuple(given))
    tolerance = case.tolerance.get(dtype, TOLERANCE[dtype])
    apart = {(i, name): relative(found[i][name], wanted[name]) for i, wanted in enumerate(expected) for name in wanted}
    return {place: difference for place, difference in apart.items() if not difference <= tolerance}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_kernel_against_reference(case: Case, shapes: list[Shape], dtype: str) -> None:
    assert differences(case, shapes, [tuple(case.given.items())] * len(shapes), dtype) == {}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_each_tensor_has_its_own_hyperparameters(case: Case, dtype: str) -> None:
    generator = np.random.default_rng(9)
    shapes = [(5,), (3, 4), (), (17,), (2, 3)]
    given = [tuple((name, float(generator.uniform(0.1, 0.9))) for name in case.rule.hyperparameters) for _ in shapes]
    assert differences(case, shapes, given, dtype) == {}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_each_tensor_has_its_own_step_count(case: Case) -> None:
    shapes = [(5,), (4,), (6,)]
    tensors = begun_tensors(case.rule, shapes, "float64")
    given = [at_step(case.rule, t, **case.given) for t in (1, 7, 1000)]
    for arrays in tensors:
        arrays["g"][...] = np.linspace(-1, 2, arrays["g"].size)
    expected = [reference_step(case.rule, *pair) for pair in zip(tensors, given, strict=True)]
    kernel_step(case.rule, "float64", tensors, given)
    assert max(relative(a[n], e[n]) for a, e in zip(tensors, expected, strict=True) for n in a) <= 1e-12


# ---------------------------------------------------------------------------------------------------------------------
# Numbers that are none
# ---------------------------------------------------------------------------------------------------------------------

SPECIAL = {
    "NaN in the gradient": ("g", np.nan),
    "infinite gradient": ("g", np.inf),
    "negatively infinite gradient": ("g", -np.inf),
    "NaN in the parameter": ("p", np.nan),
    "infinite parameter": ("p", np.inf),
}


def kinds(array: Any) -> Any:
    """NaN, an infinity of either sign, or a number, at each element."""
    return np.where(np.isnan(array), 2, np.where(np.isinf(array), np.sign(array), 0))


@pytest.mark.parametrize(("where_it_is", "special"), SPECIAL.values(), ids=SPECIAL)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_nan_and_infinity_go_where_they_go_in_the_reference(
    case: Case, dtype: str, where_it_is: str, special: float
) -> None:
    shapes: list[Shape] = [(33,), (4, 9), (5,)]
    tensors = begun_tensors(case.rule, shapes, dtype)
    for arrays, gradient in zip(tensors, next(gradients(shapes)), strict=True):
        arrays["g"][...] = gradient
    for arrays in tensors[:2]:
        arrays[where_it_is].flat[11] = special
    given = at_step(case.rule, 1, **case.given)
    expected = [reference_step(case.rule, arrays, given) for arrays in tensors]
    kernel_step(case.rule, dtype, tensors, [given] * len(tensors))
    for arrays, wanted in zip(tensors, expected, strict=True):
        for name in arrays:
            np.testing.assert_array_equal(kinds(arrays[name]), kinds(wanted[name]), name)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_hyperparameters_that_overflow(case: Case) -> None:
    """Scalars divided by zero are infinite or NaN, as they are in the tensors; nothing is raised."""
    for extreme in (0.0, 1.0, -1.0, 1e300):
        tensors = begun_tensors(case.rule, [(5,)], "float64")
        tensors[0]["g"][...] = 0.5
        given = at_step(case.rule, 3, **dict.fromkeys(case.rule.hyperparameters, extreme))
        expected = reference_step(case.rule, tensors[0], given)
        kernel_step(case.rule, "float64", tensors, [given])
        for name in expected:
            np.testing.assert_array_equal(np.isnan(tensors[0][name]), np.isnan(expected[name]), name)


# ---------------------------------------------------------------------------------------------------------------------
# Channels
# ---------------------------------------------------------------------------------------------------------------------


@fl.rule
def row_and_tensor_sums(p: Any, g: Any, row: Any, whole: Any, *, lr: float = 0.1) -> Any:
    return 0.0 * g, row * 0 + sum(g, channels=True), whole * 0 + sum(g)


CHANNELS: dict[str, list[Shape]] = {
    "a vector longer than a chunk is one channel": [(3 * CHUNK + 17,)],
    "rows longer than a chunk": [(3, CHUNK + 11)],
    "more rows than a chunk has elements": [(CHUNK + 5, 2)],
    "rows that do not fill a chunk evenly": [(37, 1001)],
    "several dimensions": [(5, 3, 7, 2)],
    "no dimension": [()],
    "each beside the others": [(), (3 * CHUNK + 17,), (37, 1001), (1, 9), (9, 1), (4, 5, 6)],
}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shapes", CHANNELS.values(), ids=CHANNELS)
def test_sums_are_over_each_channel_and_each_tensor(shapes: list[Shape], threads: int) -> None:
    tensors = begun_tensors(row_and_tensor_sums, shapes, "float64")
    generator = np.random.default_rng(3)
    for arrays in tensors:
        arrays["g"][...] = generator.integers(-9, 9, arrays["g"].shape)  # whole numbers add up exactly
    with thread_count(threads):
        kernel_step(row_and_tensor_sums, "float64", tensors, [numbers(row_and_tensor_sums)] * len(tensors))
    for arrays in tensors:
        gradient = arrays["g"]
        rows = gradient.reshape(gradient.shape[0], -1).sum(1) if gradient.ndim > 1 else gradient.sum()
        spread = np.reshape(rows, (-1,) + (1,) * (gradient.ndim - 1)) if gradient.ndim > 1 else rows
        np.testing.assert_array_equal(arrays["row"], np.broadcast_to(spread, gradient.shape))
        np.testing.assert_array_equal(arrays["whole"], np.full(gradient.shape, gradient.sum()))


# ---------------------------------------------------------------------------------------------------------------------
# Sums over all tensors of an owner, whatever tables these lie in
# ---------------------------------------------------------------------------------------------------------------------


@fl.rule
def joint_norm(p: Any, g: Any, *, lr: float = 0.1) -> Any:
    return lr * g / sqrt(dot(g, g, all_tensors=True))


@fl.rule
def joint_norm_of_both(p: Any, g: Any, m: Any, *, lr: float = 0.1) -> Any:
    """The sum of squares of all gradients, and one that only this rule knows."""
    return lr * g / sqrt(dot(g, g, all_tensors=True)) + lr * p / (1 + sum(p * p, all_tensors=True)), 0 * m + sum(g)


@fl.rule
def joint_spread(p: Any, g: Any, *, lr: float = 0.1) -> Any:
    """Two sums one on the other."""
    away = g - sum(g, all_tensors=True) / sum(0 * g + 1, all_tensors=True)
    return lr * away / sqrt(dot(away, away, all_tensors=True))


@fl.rule
def no_sum(p: Any, g: Any, *, lr: float = 0.1) -> Any:
    return lr * g


def joint_update(rule: Rule, tensor: Arrays, of_owner: Sequence[tuple[Rule, Arrays]]) -> Any:
    """What a rule takes off at lr = 1, from all that its owner has. Rules that sum the same have one sum."""

    def every(name: str, *of: Rule) -> Any:
        return np.concatenate([arrays[name].ravel().astype(np.float64) for other, arrays in of_owner if other in of])

    p, g = tensor["p"].astype(np.float64), tensor["g"].astype(np.float64)
    if rule is joint_spread:
        around = every("g", rule).mean()
        return (g - around) / np.linalg.norm(every("g", rule) - around)
    if rule is no_sum:
        return g
    own = 0.0 if rule is joint_norm else p / (1 + np.sum(every("p", rule) ** 2))
    return g / np.linalg.norm(every("g", joint_norm, joint_norm_of_both)) + own


#: For each table the rule, and the owner of each of its tensors.
Tables = list[tuple[Rule, list[int]]]
JOINT: dict[str, Tables] = {
    "one owner": [(joint_norm, [0, 0, 0])],
    "several owners of one table": [(joint_norm, [2, 0, 1, 0])],
    "an owner without tensors": [(joint_norm, [3, 1])],
    "two tables of one owner": [(joint_norm, [0, 0]), (joint_norm, [0])],
    "the second has more owners": [(joint_norm, [0, 1]), (joint_norm, [0, 3, 2])],
    "the first has more owners": [(joint_norm, [3, 2]), (joint_norm, [0, 1])],
    "owners apart": [(joint_norm, [2]), (joint_norm, [0]), (joint_norm, [1])],
    "rules that share one of their sums": [(joint_norm, [1, 0]), (joint_norm_of_both, [0, 1, 2])],
    "so in the other order": [(joint_norm_of_both, [0, 1, 2]), (joint_norm, [1, 0])],
    "levels differ": [(joint_norm, [0, 1]), (joint_spread, [0, 2, 0]), (no_sum, [1])],
    "levels differ, fewest first": [(no_sum, [2]), (joint_spread, [1, 1]), (joint_norm, [1, 0])],
    "without any sum": [(no_sum, [0]), (no_sum, [1])],
    "nothing": [],
}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("tables", JOINT.values(), ids=JOINT)
def test_each_owner_has_its_own_sums_over_all_tables(tables: Tables, dtype: str) -> None:
    shapes: list[Shape] = [(5,), (3, 4), (), (CHUNK + 3,)]
    parts: list[SegmentTable] = []
    rows: list[tuple[Rule, int, Arrays, Arrays]] = []  # each tensor's rule and owner, and its numbers, and as they were
    for k, (rule, owners) in enumerate(tables):
        tensors = [drawn(rule, shapes[(i + 2 * k) % 4], dtype, seed=10 * k + i) for i in range(len(owners))]
        rows += [(rule, owner, one, copy.deepcopy(one)) for owner, one in zip(owners, tensors, strict=True)]
        parts.append(table_of(kernel_for(rule, dtype), tensors, owners))
        fill_in(parts[-1], [numbers(rule, lr=1.0)] * len(owners))
    run_jointly(parts)
    for rule, owner, arrays, was in rows:
        mine = [(other, before) for other, its, _, before in rows if its == owner]
        expected = was["p"] - joint_update(rule, was, mine)
        assert relative(arrays["p"], expected) <= TOLERANCE[dtype]


def test_long_sums_keep_their_digits() -> None:
    """A float32 sum over a million numbers would lose three of its seven digits."""
    tensors = begun_tensors(row_and_tensor_sums, [(1_000_000,)], "float32")
    tensors[0]["g"][...] = 0.1
    kernel_step(row_and_tensor_sums, "float32", tensors, [numbers(row_and_tensor_sums)])
    assert tensors[0]["whole"][0] == pytest.approx(1_000_000 * np.float64(np.float32(0.1)), rel=1e-7)


# ---------------------------------------------------------------------------------------------------------------------
# Threads, compilations, nothing to do
# ---------------------------------------------------------------------------------------------------------------------


class thread_count:  # noqa: N801 - a context manager, read as a verb
    """Set torch's number of threads, which is the kernels' too, for a while."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __enter__(self) -> None:
        self.before = torch.get_num_threads()
        torch.set_num_threads(self.count)

    def __exit__(self, *error: object) -> None:
        torch.set_num_threads(self.before)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_number_of_threads_changes_no_bit(case: Case) -> None:
    shapes: list[Shape] = [(WORTH_SHARING // 2 + 77,), (300, WORTH_SHARING // 500), (9,)]
    results = []
    for threads in (1, 2, 5):
        with thread_count(threads):
            results.append(by_kernel(case.rule, shapes, [tuple(case.given.items())] * len(shapes), "float32"))
    for other in results[1:]:
        for first, second in zip(results[0], other, strict=True):
            assert all(np.array_equal(first[name], second[name]) for name in first)


def test_nothing_is_compiled_again(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FALLLINE_CACHE_DIR", str(tmp_path))
    kernel = Kernel(both_sums, {}, "float32")
    with event.install_recorder("numba:compile") as compilations:
        kernel.passes  # noqa: B018 - compiles
        assert len(compilations.buffer) > 0
    with event.install_recorder("numba:compile") as compilations:
        for shapes in SHAPES.values():
            for rate in (0.1, 1, -2.5):
                tensors = begun_tensors(both_sums, shapes, "float32")
                step(table_of(kernel, tensors), [numbers(both_sums, lr=float(rate))] * len(tensors))
        assert Kernel(both_sums, {}, "float32").passes
        assert len(compilations.buffer) == 0


def test_a_rule_and_type_have_one_kernel() -> None:
    @fl.rule
    def looking(p: Any, g: Any, *, lr: float = 0.1, ahead: bool = False) -> Any:
        return lr * (g + p) if ahead else lr * g

    assert kernel_for(looking, "float32") is kernel_for(looking, "float32", {})
    assert kernel_for(looking, "float32", {"ahead": True}) is kernel_for(looking, "float32", {"ahead": True})
    assert kernel_for(looking, "float32", {"ahead": True}) is not kernel_for(looking, "float32", {"ahead": False})
    assert kernel_for(looking, "float32") is not kernel_for(looking, "float64")
    assert kernel_for(looking, "float32").passes is kernel_for(looking, "float32").passes


@pytest.mark.parametrize("rule", [adam, trust, normed_rows, both_sums], ids=str)
@pytest.mark.parametrize("widths", [None, []])
def test_no_segments(rule: Rule, widths: list[int] | None) -> None:
    table = SegmentTable(kernel_for(rule, "float32"), [], widths)
    table.run()
    table.run()
    assert table.elements == 0


def test_without_widths_a_tensor_is_one_channel() -> None:
    tensors = begun_tensors(row_and_tensor_sums, [(4, 5)], "float64")
    tensors[0]["g"][...] = 1.0
    kernel = kernel_for(row_and_tensor_sums, "float64")
    table = SegmentTable(kernel, [20])
    table.addresses[0] = [tensors[0][name].ctypes.data for name in kernel.columns]
    step(table, [numbers(row_and_tensor_sums)])
    assert (tensors[0]["row"] == 20).all()


def test_a_table_may_be_filled_anew() -> None:
    """New addresses and numbers in the same table work on other tensors, and leave the first alone."""
    first, second = (begun_tensors(rules.gradient_descent, [(5,)], "float64") for _ in range(2))
    table = table_of(kernel_for(rules.gradient_descent, "float64"), first)
    first[0]["g"][...] = second[0]["g"][...] = 1.0
    start = first[0]["p"].copy()
    step(table, [{"lr": 1.0}])
    table.addresses[0] = [second[0][name].ctypes.data for name in table.kernel.columns]
    step(table, [{"lr": 0.5}])
    np.testing.assert_array_equal(first[0]["p"], start - 1.0)
    np.testing.assert_array_equal(second[0]["p"], start - 0.5)


def test_what_lies_beside_a_tensor_is_left_alone() -> None:
    whole = np.full(64, 7.0, np.float32)
    for length in range(1, 40):
        arrays = {name: whole.copy() for name in ("p", "g", "m", "v")}
        inner = {name: array[5 : 5 + length] for name, array in arrays.items()}
        kernel_step(adam, "float32", [inner], [numbers(adam, lr=0.1)])
        for array in arrays.values():
            assert (array[:5] == 7).all()
            assert (array[5 + length :] == 7).all()
        assert (arrays["p"][5 : 5 + length] != 7).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int32", "complex64"])
def test_other_types_are_refused_by_name(dtype: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"{dtype}.*float32"):
        kernel_for(rules.gradient_descent, dtype).passes  # noqa: B018 - compiles


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_ways_to_hoist_agree(case: Case) -> None:
    """One row of numbers, columns of many rows, and tensors that autograd follows."""
    host = kernel_for(case.rule, "float64").scalars
    rows = [at_step(case.rule, t, **case.given) for t in (1, 2, 50)]
    columns = host.columns({name: np.array([row[name] for row in rows]) for name in host.names}, len(rows))
    for row, column in zip(rows, columns, strict=True):
        found = host.values(*[row[name] for name in host.names])
        assert len(found) == host.count
        np.testing.assert_allclose(column[: host.count], np.array(found, float), rtol=1e-12)
        rates = {name: torch.tensor(row[name], dtype=torch.float64, requires_grad=True) for name in host.names}
        followed = host.tensors(*rates.values())
        np.testing.assert_allclose([float(tensor.detach()) for tensor in followed], np.array(found, float), rtol=1e-12)
        assert all(tensor.requires_grad for tensor in followed if tensor.is_floating_point())
