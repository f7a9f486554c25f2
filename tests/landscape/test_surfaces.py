"""The surfaces: their formulas for every kind of number, their minima, and what can't be a surface."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch

from fallline.landscape import Surface, cos, exp, log, sin, sqrt, surfaces
from fallline.landscape.calculus import derivatives_of

ALL = list(surfaces.ALL.values())
PLAIN: dict[str, Any] = {
    "name": "plain", "function": lambda x, y: x * y, "view": ((-1, 1), (-1, 1)), "start": (0.5, 0.5)
}  # fmt: skip


@pytest.mark.parametrize("surface", ALL, ids=lambda surface: surface.name)
def test_formula_is_the_same_for_arrays_tensors_and_numbers(surface: Surface) -> None:
    x, y = (np.linspace(low, high, 7) for low, high in surface.view)
    expected = [derivatives_of(surface.function).slope(*point)[0] for point in zip(x.tolist(), y.tolist(), strict=True)]
    np.testing.assert_allclose(surface(x, y), expected, rtol=1e-12)
    np.testing.assert_allclose(surface(torch.tensor(x), torch.tensor(y)), expected, rtol=1e-12)
    np.testing.assert_allclose(surface.heights(x, y), expected, rtol=1e-12)


@pytest.mark.parametrize("surface", ALL, ids=lambda surface: surface.name)
def test_derivatives_agree_with_automatic_differentiation(surface: Surface) -> None:
    point = torch.tensor(surface.start, dtype=torch.float64)

    def height(place: torch.Tensor) -> torch.Tensor:
        value: torch.Tensor = surface(place[0], place[1])
        return value

    x, y = point.tolist()
    gradient = torch.func.grad(height)(point)
    assert surface.gradient(x, y) == pytest.approx(gradient.tolist(), rel=1e-10)
    curvatures = torch.linalg.eigvalsh(torch.autograd.functional.hessian(height, point)).tolist()  # type: ignore[no-untyped-call]
    assert surface.curvatures(x, y) == pytest.approx(curvatures, rel=1e-9, abs=1e-9)


HEIGHTS = {
    "ravine": 0.0, "rosenbrock": 0.0, "beale": 0.0, "himmelblau": 0.0, "rastrigin": 0.0, "saddle": -1.0,
    "monkey-saddle": -0.84375, "plateau": 0.0, "easom": -1.0, "styblinski-tang": 2 * -39.16616570377142,
    "three-hump-camel": 0.0, "goldstein-price": math.log(3),
}  # fmt: skip


@pytest.mark.parametrize("surface", ALL, ids=lambda surface: surface.name)
def test_minima_are_level_curve_upwards_and_are_as_deep_as_published(surface: Surface) -> None:
    assert surface.minima
    for x, y in surface.minima:
        assert math.hypot(*surface.gradient(x, y)) < 1e-9
        low, high = surface.curvatures(x, y)
        assert (high if surface.dimensions == 1 else low) > 0.2
        if surface.name in HEIGHTS:
            assert float(surface(x, y)) == pytest.approx(HEIGHTS[surface.name], abs=1e-9)


def test_sharp_and_flat_are_so() -> None:
    (_, sharp), (_, flat) = (surfaces.sharp_and_flat.curvatures(*place) for place in surfaces.sharp_and_flat.minima)
    assert sharp == pytest.approx(44.4, abs=0.05)
    assert flat == pytest.approx(0.97, abs=0.005)


@pytest.mark.parametrize("surface", ALL, ids=lambda surface: surface.name)
def test_bundled_surfaces_pickle_by_their_formula(surface: Surface) -> None:
    assert pickle.loads(pickle.dumps(surface)).function is surface.function


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (exp, math.e**0.5), (log, math.log(0.5)), (cos, math.cos(0.5)), (sin, math.sin(0.5)), (sqrt, math.sqrt(0.5))
    ],
)  # fmt: skip
def test_elementary_functions_of_every_kind(function: Any, expected: float) -> None:
    import sympy

    for number in (0.5, np.array(0.5), torch.tensor(0.5, dtype=torch.float64), sympy.Float(0.5)):
        assert float(function(number)) == pytest.approx(expected)


def _branching(x: Any, y: Any) -> Any:
    return x**2 + (y**2 if y > 0 else 4 * y**2)


@pytest.mark.parametrize(
    ("function", "point", "slope"),
    [
        (lambda x, y: x**2 * y, (3.0, 2.0), (18.0, 12.0, 9.0)),
        (lambda x, y: torch.tanh(x) + y, (0.0, 1.0), (1.0, 1.0, 1.0)),  # no formula, so torch goes back through it
        (_branching, (1.0, -1.0), (5.0, 2.0, -8.0)),
        (lambda x, y: exp(x) + y, (1000.0, 0.0), (math.nan, math.nan, math.nan)),  # too large
        (lambda x, y: log(x) + y, (-1.0, 0.0), (math.nan, math.nan, math.nan)),  # undefined
    ],
)
def test_functions_of_ones_own_are_differentiated(function: Any, point: Any, slope: Any) -> None:
    assert derivatives_of(function).slope(*point) == pytest.approx(slope, nan_ok=True)


def test_curvatures_where_torch_differentiates() -> None:
    own = Surface(**{**PLAIN, "function": lambda x, y: torch.cosh(x) + 3 * y**2})
    assert list(own.curvatures(0.0, 0.0)) == pytest.approx([1.0, 6.0])
    assert own.heights(np.zeros((2, 3)), np.ones((2, 3))).tolist() == [[4.0] * 3] * 2


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"function": 3}, TypeError, "function must be a function of x and y; got int"),
        ({"view": ((1, -1), (0, 1))}, ValueError, "view: x runs from 1 to -1"),
        ({"view": ((-1, 1), (0, math.inf))}, ValueError, "view: y runs from 0 to inf"),
        ({"start": (2, 0)}, ValueError, r"start: \(2, 0\) is outside the view"),
        ({"minima": ((0, 3),)}, ValueError, r"minima: \(0, 3\) is outside the view"),
        ({"steps": 0}, ValueError, "steps must be at least 1; got 0"),
    ],
)
def test_what_is_no_surface(change: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Surface(**{**PLAIN, **change})


@pytest.mark.parametrize("function", [lambda x, y: "high", lambda x: x, lambda x, y: np.sin(x) + y])
def test_functions_that_nothing_can_differentiate(function: Any) -> None:
    with pytest.raises(TypeError, match=r"can't be differentiated .* write it with"):
        Surface(**{**PLAIN, "function": function}).gradient(0.0, 0.0)


@pytest.mark.parametrize(
    ("asked", "found"),
    [("ravine", "ravine"), ("Styblinski_Tang", "styblinski-tang"), ("monkey saddle", "monkey-saddle")],
)
def test_find(asked: str, found: str) -> None:
    assert surfaces.find(asked).name == found


def test_find_names_the_nearest() -> None:
    with pytest.raises(LookupError, match="there is no surface 'rosenbrok'; did you mean 'rosenbrock'"):
        surfaces.find("rosenbrok")
    with pytest.raises(LookupError, match="there are ravine, rosenbrock"):
        surfaces.find("zzz")


def test_each_teaches_in_a_sentence() -> None:
    assert all(surface.teaches.endswith(".") and surface.demonstrations for surface in ALL)
