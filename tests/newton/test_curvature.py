"""Hessians that are not positive definite: saddles, flat directions, straight losses."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fallline as fl
from fallline.optim.newton.curvature import conjugate_gradients, saddle_free
from tests.newton.problems import Loss, at, quadratic, saddle
from tests.newton.test_known_answers import each_path, minimise

SEARCHES = ["armijo", "strong_wolfe"]


@each_path
@pytest.mark.parametrize("line_search", SEARCHES)
@pytest.mark.parametrize("start", [(1, 0.1), (1, -1e-6), (0, 1e-9)], ids=str)
def test_a_saddle_is_left(start: tuple[float, float], line_search: Any, path: dict[str, Any]) -> None:
    x = at(*start)
    reports = minimise(saddle, x, line_search=line_search, **path)
    assert reports[0].negative_curvature
    assert not reports[-1].negative_curvature
    assert torch.allclose(x, torch.tensor([0, math.copysign(math.sqrt(0.5), start[1])], dtype=x.dtype), atol=1e-8)


@each_path
def test_a_saddle_whose_slope_is_lost_in_rounding_is_left(path: dict[str, Any]) -> None:
    x = at(0, 1e-9)
    first, *_, last = minimise(lambda x: 1 + saddle(x), x, **path)
    assert first.loss_after == first.loss_before
    assert last.loss_after == pytest.approx(0.75, abs=1e-15)


@pytest.mark.parametrize("line_search", [None, *SEARCHES])
def test_the_exact_path_leaves_a_stationary_point(line_search: Any) -> None:
    x = at(0, 0)
    first, *_, last = minimise(saddle, x, line_search=line_search)
    assert (first.reason, first.gradient_norm, first.smallest_eigenvalue) == ("step taken", 0, -2)
    assert first.loss_after < 0
    assert last.loss_after == pytest.approx(-0.25, abs=1e-15)


@pytest.mark.parametrize("tolerance", [0, 1e-3])
def test_without_a_hessian_a_stationary_point_is_the_end(tolerance: float) -> None:
    (report,) = minimise(saddle, at(0, tolerance / 2), exact_up_to=0, tolerance_grad=tolerance)
    assert (report.reason, report.cg_iterations, report.step_size) == ("gradient small", 0, 0)


@pytest.mark.parametrize("seed", range(10))
def test_an_indefinite_hessian_gives_a_direction_downhill(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(12, 12, generator=generator, dtype=torch.float64)
    hessian, gradient = matrix + matrix.T, torch.randn(12, generator=generator, dtype=torch.float64)
    for direction in (
        saddle_free(gradient, hessian, stationary=False),
        saddle_free(gradient, hessian, stationary=True),
        conjugate_gradients(gradient, lambda v: hessian @ v, 1e-10, 100),
    ):
        assert direction.negative_curvature
        assert float(direction.vector @ gradient) < 0


FLAT: dict[str, tuple[Loss, tuple[float, ...], tuple[float, ...]]] = {
    "one number unused": (lambda x: (x[0] - 3) ** 2, (1, 7), (3, 7)),
    "a valley, least norm": (lambda x: (x[0] + x[1] - 2) ** 2, (0, 0), (1, 1)),
    "a valley from its side": (lambda x: (x[0] + 2 * x[1] - 5) ** 2, (1, 0), (1.8, 1.6)),
    "a straight loss goes along the gradient": (lambda x: 2 * x[0] - x[1], (0, 0), (-2, 1)),
    "no second derivative": (lambda x: x[0].abs() + 0 * x[1], (5, 1), (4, 1)),
}  # fmt: skip


@each_path
@pytest.mark.parametrize("case", FLAT.values(), ids=FLAT)
def test_a_singular_hessian(case: Any, path: dict[str, Any]) -> None:
    loss, start, end = case
    x = at(*start)
    minimise(loss, x, steps=1, line_search=None, **path)
    assert torch.allclose(x, torch.tensor(end, dtype=x.dtype), atol=1e-12)


def test_straight_one_way_and_a_bowl_the_other() -> None:
    x = at(3, 0)
    minimise(lambda x: x[0] ** 2 + x[1], x, steps=1)
    assert torch.allclose(x, torch.tensor([0, -1], dtype=x.dtype), atol=1e-12)


@each_path
def test_a_singular_quadratic_takes_the_least_norm_step(path: dict[str, Any]) -> None:
    eigenvalues = torch.cat([torch.zeros(8), torch.linspace(1, 5, 12)]).double()
    loss, minimum = quadratic(20, eigenvalues)
    x = nn.Parameter(torch.zeros(20, dtype=torch.float64))
    (first, *_) = minimise(loss, x, **path)
    hessian: Any = torch.autograd.functional.hessian(loss, torch.zeros(20, dtype=torch.float64))  # type: ignore[no-untyped-call]
    assert torch.allclose(x, torch.linalg.pinv(hessian) @ hessian @ minimum, atol=1e-10)
    assert not first.negative_curvature


@pytest.mark.parametrize("size", [10, 1e-2, 1e-6])
def test_the_residual_is_what_makes_newton_superlinear(size: float) -> None:
    hessian = torch.diag(torch.logspace(0, 4, 50, dtype=torch.float64))
    gradient = torch.full((50,), size / math.sqrt(50), dtype=torch.float64)
    direction = conjugate_gradients(gradient, lambda v: hessian @ v, None, 1000)
    assert float((hessian @ direction.vector + gradient).norm()) <= min(0.5, math.sqrt(size)) * size


def test_a_dead_unit_stays() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1)).double()
    first: Any = model[0]
    with torch.no_grad():
        first.bias[2] = -100.0
    X = torch.randn(20, 3, dtype=torch.float64)
    y = X.sum(1, keepdim=True)
    dead: Tensor = first.weight[2].clone()
    optimizer = fl.Newton(model.parameters())
    before = optimizer.step(lambda: nn.functional.mse_loss(model(X), y))
    assert optimizer.report is not None
    assert optimizer.report.loss_after < float(before)
    assert torch.allclose(first.weight[2], dead, rtol=0, atol=1e-11)


def test_of_several_ways_out_of_a_saddle_every_machine_takes_the_same() -> None:
    """Turned to a basis of its own, the Hessian has one way down for each of two eigenvalues that agree to rounding."""
    turn = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).Q
    hessian = (turn * torch.tensor([-2.0, -2.0, 1.0, 3.0], dtype=torch.float64)) @ turn.T
    noise = torch.randn(4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    gradient = torch.zeros(4, dtype=torch.float64)
    first = saddle_free(gradient, hessian, stationary=True)
    second = saddle_free(gradient, hessian + 1e-16 * (noise + noise.T), stationary=True)
    torch.testing.assert_close(second.vector, first.vector, rtol=0, atol=1e-12)
    torch.testing.assert_close(hessian @ first.vector, -2 * first.vector, rtol=0, atol=1e-12)
