"""AdamP on matrices and filters, where it projects channels, whole tensors or nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fallline import rules
from tests.rules.paths import Array, Gradient, kernel_path, path
from tests.rules.published_adam import heo

SETTINGS = {"lr": 0.1, "beta1": 0.8, "beta2": 0.99, "eps": 1e-3, "weight_decay": 0.3}


def drawn(shape: tuple[int, ...], seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


def raw(x: Array) -> Array:
    """Along the weights too."""
    return x + 0.3 * drawn(x.shape, 1)


def tangent_to_the_tensor(x: Array) -> Array:
    """Orthogonal to the whole of the weights, but to no channel's."""
    slope = x * np.arange(len(x)).reshape(-1, *[1] * (x.ndim - 1)) + drawn(x.shape, 2)
    return slope - x * np.sum(slope * x) / np.sum(x * x)


def tangent_to_channels(x: Array) -> Array:
    """Orthogonal to the weights of every channel."""
    slope = drawn(x.shape, 3)
    return np.stack([s - w * np.sum(s * w) / np.sum(w * w) for s, w in zip(slope, x, strict=True)])


SHAPES = [(4, 6), (3, 2, 5), (2, 1), (1, 6), (5, 2, 2, 2)]
each_gradient = pytest.mark.parametrize("of", [raw, tangent_to_the_tensor, tangent_to_channels])
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
each_look = pytest.mark.parametrize("nesterov", [False, True])


@each_gradient
@each_shape
@each_look
def test_follows_the_authors_code(of: Gradient, shape: tuple[int, ...], nesterov: bool) -> None:
    start, given = drawn(shape, 0).astype(np.float32).astype(np.float64), {**SETTINGS, "nesterov": nesterov}
    iteration = heo(of, start, nesterov=nesterov)
    expected = [next(iteration) for _ in range(20)]
    found = [
        (path(rules.adamp, 20, given, of, start), 1e-12),
        (kernel_path(rules.adamp, 20, given, of, start), 1e-12),
        (kernel_path(rules.adamp, 20, given, of, start, "float32"), 3e-6),
    ]
    for places, tolerance in found:
        for place, wanted in zip(places, expected, strict=True):
            assert np.linalg.norm(place - wanted) <= tolerance * np.linalg.norm(wanted)


@each_shape
def test_a_projected_step_is_orthogonal_to_the_weights_of_each_channel(shape: tuple[int, ...]) -> None:
    start = drawn(shape, 0)
    (place,) = path(rules.adamp, 1, {"lr": 0.1, "eps": 1e-12}, tangent_to_channels, start)
    axes = tuple(range(1, len(shape)))
    np.testing.assert_allclose(np.sum((place - start) * start, axis=axes), 0.0, atol=1e-9)


#: What leaves a tensor to Adam: nothing is small enough to project, or it has one dimension at most.
LEFT_TO_ADAM: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "a threshold of zero": ((4, 6), {"delta": 0.0}),
    "a vector": ((6,), {"delta": 10.0}),
    "a number": ((), {"delta": 10.0}),
}


@pytest.mark.parametrize(("shape", "given"), LEFT_TO_ADAM.values(), ids=LEFT_TO_ADAM)
def test_is_adamw_where_nothing_is_projected(shape: tuple[int, ...], given: dict[str, float]) -> None:
    start = drawn(shape, 0)

    def slope(x: Array) -> Array:
        return np.asarray(x + 0.3 * drawn(shape, 1))

    found = path(rules.adamp, 10, {**SETTINGS, **given}, slope, start)
    np.testing.assert_allclose(found, path(rules.adamw, 10, SETTINGS, slope, start), rtol=1e-12)


def test_not_a_number_in_one_channel_projects_nothing() -> None:
    start = drawn((3, 4), 0)

    def slope(x: Array) -> Array:
        gradient = tangent_to_channels(x)
        gradient[0, 0] = np.nan
        return gradient

    (place,) = path(rules.adamp, 1, SETTINGS, slope, start)
    (expected,) = path(rules.adamw, 1, SETTINGS, slope, start)
    np.testing.assert_allclose(place, expected, rtol=1e-12)
