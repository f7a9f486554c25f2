"""The exponential moving average of series and streams."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fallline.averaging import ExponentialAverage, ema


def by_the_book(values: NDArray[Any], beta: float, bias_correction: bool) -> NDArray[Any]:
    """The sum written out: the value of time i counts (1-β)·β**(t-i) at time t."""
    averages = []
    for t in range(1, len(values) + 1):
        total = sum((1 - beta) * beta ** (t - i) * values[i - 1] for i in range(1, t + 1))
        averages.append(total / (1 - beta**t) if bias_correction else total)
    return np.array(averages)


@pytest.mark.parametrize("bias_correction", [True, False])
@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("shape", [(12,), (12, 3), (5, 2, 3)])
def test_against_the_sum_written_out(shape: tuple[int, ...], beta: float, bias_correction: bool) -> None:
    values = np.random.default_rng(0).normal(size=shape)
    known = by_the_book(values, beta, bias_correction)
    np.testing.assert_allclose(ema(values, beta, bias_correction), known, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("values", "beta", "bias_correction", "known"),
    [
        ([3.0, 0.0, 3.0], 0.5, False, [1.5, 0.75, 1.875]),
        ([3.0, 0.0, 3.0], 0.5, True, [3.0, 1.0, 15 / 7]),
        ([1, 2, 3], 0.0, True, [1.0, 2.0, 3.0]),
        ([10, 10], 0.9, False, [1.0, 1.9]),
        ([1j, 1j], 0.5, True, [1j, 1j]),
        ([], 0.9, True, []),
        ((x for x in (3.0, 0.0, 3.0)), 0.5, False, [1.5, 0.75, 1.875]),
        (iter([np.ones(2), np.zeros(2)]), 0.5, False, [[0.5, 0.5], [0.25, 0.25]]),
        ([torch.ones(1, requires_grad=True), torch.zeros(1)], 0.5, False, [[0.5], [0.25]]),
        (torch.ones(2, requires_grad=True), 0.5, False, [0.5, 0.75]),
    ],
)
def test_known_averages(values: Any, beta: float, bias_correction: bool, known: Any) -> None:
    np.testing.assert_allclose(ema(values, beta, bias_correction), known, rtol=1e-15)


@given(beta=st.floats(0, 1, exclude_max=True), level=st.floats(1e-6, 1e6), count=st.integers(1, 30))
def test_the_corrected_average_of_a_constant_is_the_constant(beta: float, level: float, count: int) -> None:
    np.testing.assert_allclose(ema([level] * count, beta), level, rtol=1e-13)


def test_after_a_window_a_step_is_taken_in_by_two_thirds() -> None:
    average = ExponentialAverage(beta=0.999, bias_correction=False)
    for _ in range(round(average.window)):
        average.update(1.0)
    assert average.value == pytest.approx(1 - np.exp(-1), abs=1e-3)


def test_nothing_given_is_changed_or_kept() -> None:
    values, average = np.ones(3), ExponentialAverage(0.5)
    first = average.update(values)
    values[:] = 7.0
    average.update(values)
    assert first.tolist() == [1.0, 1.0, 1.0]
    assert average.value.tolist() == [5.0, 5.0, 5.0]


def test_a_tensor_leaves_its_graph_behind() -> None:
    weight = torch.ones(2, requires_grad=True)
    assert not ExponentialAverage(0.5).update(weight * 2).requires_grad


def grown(average: ExponentialAverage) -> None:
    average.update(np.ones(2))
    average.update(1.0)


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (
            lambda: ExponentialAverage(1.0),
            ValueError,
            "beta must be a finite number, .* less than 1; got 1.0",
        ),
        (
            lambda: ExponentialAverage(-0.1),
            ValueError,
            "beta must be a finite number, .* less than 1; got -0.1",
        ),
        (lambda: ema([1.0], float("nan")), ValueError, "beta must be .*; got nan"),
        (lambda: ema([1.0], "0.9"), TypeError, "beta must be .*; got '0.9'"),  # type: ignore[arg-type]
        (lambda: ema(1.0), ValueError, "values must have time as their first axis; got a single number"),
        (lambda: ema([[1.0], [1.0, 2.0]]), ValueError, "values must all have one shape"),
        (lambda: ema(["a", "b"]), TypeError, "values must be numbers.*use ExponentialAverage"),
        (lambda: ema({"a": 1.0}), TypeError, "values must be numbers.*got dict"),
        (lambda: ema([None, 1.0]), TypeError, "values must be numbers"),
        (lambda: ExponentialAverage().update("1"), TypeError, "value must be a number, .*; got '1'"),
        (lambda: ExponentialAverage().update([1.0]), TypeError, "value must be a number, .*ema takes a whole series"),
        (lambda: grown(ExponentialAverage()), ValueError, r"the shape of the first one, \(2,\); got the shape \(\)"),
        (lambda: ExponentialAverage().value, ValueError, "the average has no value yet: call update first"),
    ],
)
def test_misuse_is_refused_in_a_sentence(call: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        call()


@pytest.mark.parametrize(
    "settings", [{}, {"bias_correction": False}, {"beta": 0.0}, {"beta": 0.0, "bias_correction": False}]
)
@pytest.mark.parametrize("kind", [np.array, torch.tensor], ids=["array", "tensor"])
def test_what_is_handed_out_is_the_callers(settings: Any, kind: Any) -> None:
    average, unseen = ExponentialAverage(**{"beta": 0.5, **settings}), ExponentialAverage(**{"beta": 0.5, **settings})
    for value in (1.0, 3.0, 2.0):
        given = kind([value, value])
        for handed_out in (average.update(given), average.value, given):
            handed_out += 100.0
        known = unseen.update(kind([value, value]))
        assert average.value.tolist() == known.tolist()
