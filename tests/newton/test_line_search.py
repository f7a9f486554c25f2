"""The conditions that the line searches promise, looked at directly."""

import math
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

import fallline as fl
from fallline.optim.newton.curvature import Direction, LocalModel
from fallline.optim.newton.line_search import Line, armijo, strong_wolfe
from tests.newton.problems import Loss, at, rosenbrock
from tests.newton.test_known_answers import minimise

#: A loss, a start, and a direction down from it, often far too long or too short.
LINES: dict[str, tuple[Loss, tuple[float, ...], tuple[float, ...]]] = {
    "a parabola, too long": (lambda x: x[0] ** 2, (1,), (-10,)),
    "a parabola, much too long": (lambda x: x[0] ** 2, (1,), (-1e7,)),
    "a parabola, right": (lambda x: x[0] ** 2, (1,), (-1,)),
    "a parabola, too short": (lambda x: x[0] ** 2, (1,), (-1e-2,)),
    "rosenbrock": (rosenbrock, (-1.2, 1), (3, -3)),
    "a well in a plain": (lambda x: -torch.exp(-(x[0] ** 2)), (2,), (-3,)),
    "a wave": (lambda x: torch.sin(3 * x[0]) + x[0] ** 2 / 10, (2,), (-4,)),
    "a wall of infinity": (lambda x: x[0] - torch.log(x[0]), (3,), (-8,)),
    "overflow beyond": (lambda x: torch.exp(x[0] ** 2), (1,), (-60,)),
}  # fmt: skip
each_line = pytest.mark.parametrize("case", LINES.values(), ids=LINES)


def line_of(case: Any) -> tuple[Line, Loss, Tensor, Tensor]:
    loss, start, direction = case
    x, d = at(*start), torch.tensor(direction, dtype=torch.float64)
    with torch.no_grad():
        line = Line(lambda: loss(x), LocalModel(lambda: loss(x), [x]), Direction(d, False))
    return line, loss, x.detach().clone(), d


def value_and_slope(loss: Loss, x: Tensor, d: Tensor, length: float) -> tuple[float, float]:
    t = torch.tensor(length, dtype=torch.float64, requires_grad=True)
    value = loss(x + t * d)
    (slope,) = torch.autograd.grad(value, t)
    return value.item(), slope.item()


@each_line
@pytest.mark.parametrize("search", [armijo, strong_wolfe])
def test_the_conditions_hold(case: Any, search: Any) -> None:
    line, loss, x, d = line_of(case)
    with torch.no_grad():
        length = search(line, 1.0)
    assert length is not None
    before, slope_before = value_and_slope(loss, x, d, 0.0)
    after, slope_after = value_and_slope(loss, x, d, length)
    assert after <= before + 1e-4 * length * slope_before
    if search is strong_wolfe:
        assert abs(slope_after) <= 0.9 * abs(slope_before)


@pytest.mark.parametrize("lr", [0.01, 0.5, 1.0])
def test_lr_is_the_length_tried_first(lr: float) -> None:
    x = at(1, 1)
    (report,) = minimise(lambda x: (x**2).sum(), x, steps=1, lr=lr)
    assert report.step_size == lr
    assert torch.allclose(x, torch.full_like(x, 1 - lr))


@pytest.mark.parametrize("line_search", ["armijo", "strong_wolfe"])
def test_a_search_that_fails_leaves_the_parameters(line_search: Any) -> None:
    # The gradient lies about the loss, which only rises: no length can be found.
    class Liar(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor) -> Tensor:
            return -gradients[0]

    x = at(1)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        (report,) = minimise(lambda x: Liar.apply(x.exp()).sum(), x, line_search=line_search)  # type: ignore[no-untyped-call]
    assert not heard
    assert (report.reason, report.step_size, report.step_norm) == ("line search failed", 0, 0)
    assert report.loss_after == report.loss_before == pytest.approx(math.e)
    assert x.item() == 1


def test_a_step_lost_in_rounding_is_taken_only_if_it_shortens_the_gradient() -> None:
    # Beside 1e15 no change of log cosh can be seen; from 1.5 its Newton step goes to -3.5, where it is steeper.
    for start, reason, end in ((1.5, "rounding", 1.5), (0.5, "step taken", 0.5 - math.sinh(1) / 2)):
        x = at(start)
        (report,) = minimise(lambda x: 1e15 + torch.log(torch.cosh(x)).sum(), x, steps=1)
        assert report.reason == reason
        assert x.item() == pytest.approx(end, rel=1e-14)


def test_without_a_search_a_step_may_go_uphill_but_not_to_infinity() -> None:
    x = at(1.5)
    (report,) = minimise(lambda x: torch.log(torch.cosh(x)).sum(), x, steps=1, line_search=None)
    assert report.loss_after > report.loss_before
    x = at(3)
    optimizer = fl.Newton([x], line_search=None)
    with pytest.raises(ValueError, match="not finite; the parameters are as before it"):
        optimizer.step(lambda: (x - torch.log(x)).sum())
    assert x.item() == 3
