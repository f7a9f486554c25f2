"""Fans and schemes against the formulas of the papers."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fallline.init import (
    Scheme,
    he_normal,
    he_uniform,
    lecun_normal,
    lecun_uniform,
    xavier_normal,
    xavier_uniform,
)
from fallline.init.schemes import fans


@pytest.mark.parametrize(
    ("weight", "known"),
    [
        (nn.Linear(7, 3), (7, 3)),
        (torch.empty(3, 7), (7, 3)),
        (torch.empty(8, 4, 5, 3), (60, 120)),
        (nn.Conv1d(4, 8, 5), (20, 40)),
        (nn.Conv2d(4, 8, (5, 3)), (60, 120)),
        (nn.Conv3d(4, 8, 2), (32, 64)),
        (nn.Conv2d(4, 8, 3, groups=2), (18, 36)),
        (nn.Conv2d(4, 4, 3, groups=4), (9, 9)),  # depthwise
        (nn.Conv2d(4, 8, 3, stride=2, dilation=2), (36, 72)),
        (nn.ConvTranspose1d(4, 8, 5), (20, 40)),
        (nn.ConvTranspose2d(4, 8, 3), (36, 72)),
        (nn.ConvTranspose2d(4, 8, 3, groups=2), (18, 36)),
    ],
    ids=lambda value: str(value) if isinstance(value, nn.Module) else None,
)
def test_fans(weight: nn.Module | Tensor, known: tuple[int, int]) -> None:
    assert fans(weight) == known


@pytest.mark.parametrize("layer", [nn.Conv2d(4, 6, 3, groups=2), nn.ConvTranspose2d(4, 6, 3, groups=2)], ids=str)
def test_fans_are_the_connections_there_are(layer: nn.Module) -> None:
    """Counted on ones: what an inner output sums up, and, backwards, what an inner input receives."""
    nn.init.ones_(layer.get_parameter("weight"))
    nn.init.zeros_(layer.get_parameter("bias"))
    x = torch.ones(1, 4, 9, 9, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    assert x.grad is not None
    assert (y[0, 0, 4, 4].item(), x.grad[0, 0, 4, 4].item()) == fans(layer)


@pytest.mark.parametrize(
    ("scheme", "variance"),
    [
        (lecun_normal(), 1 / 40),
        (lecun_uniform(), 1 / 40),
        (xavier_normal(), 2 / 100),
        (xavier_uniform(), 2 / 100),
        (xavier_normal(gain=5 / 3), 25 / 9 * 2 / 100),
        (he_normal(), 2 / 40),
        (he_uniform(), 2 / 40),
        (he_normal(fan="fan_out"), 2 / 60),
        (he_uniform(fan="average"), 2 / 50),
        (he_normal(negative_slope=0.5), 2 / 1.25 / 40),
        (he_normal(negative_slope=1.0), 1 / 40),
    ],
    ids=str,
)
def test_variance(scheme: Scheme, variance: float) -> None:
    assert scheme.std(fan_in=40, fan_out=60) ** 2 == pytest.approx(variance, rel=1e-14)


@pytest.mark.parametrize("scheme", [lecun_uniform(), xavier_uniform(), he_uniform()], ids=str)
def test_uniform_draws_fill_their_bounds(scheme: Scheme) -> None:
    weight = torch.empty(400, 300, dtype=torch.float64)
    scheme.fill(weight, torch.Generator().manual_seed(0))
    bound = math.sqrt(3) * scheme.std(300, 400)
    assert weight.abs().max().item() <= bound
    torch.testing.assert_close(
        torch.stack([-weight.min(), weight.max()]), torch.full((2,), bound).double(), rtol=1e-3, atol=0
    )
    assert weight.std().item() == pytest.approx(scheme.std(300, 400), rel=0.01)


@pytest.mark.parametrize("scheme", [lecun_normal(), xavier_normal(), he_normal()], ids=str)
def test_normal_draws_have_normal_moments(scheme: Scheme) -> None:
    weight = torch.empty(400, 300, dtype=torch.float64)
    scheme.fill(weight, torch.Generator().manual_seed(0))
    z = weight / scheme.std(300, 400)
    moments = [z.mean().item(), z.pow(2).mean().item(), z.pow(4).mean().item()]
    assert moments == pytest.approx([0.0, 1.0, 3.0], rel=0.03, abs=0.01)


@pytest.mark.parametrize(
    ("ours", "torchs"),
    [
        (he_normal(), lambda w, g: nn.init.kaiming_normal_(w, generator=g)),
        (he_uniform(0.2, "fan_out"), lambda w, g: nn.init.kaiming_uniform_(w, 0.2, "fan_out", generator=g)),
        (lecun_normal(), lambda w, g: nn.init.kaiming_normal_(w, nonlinearity="linear", generator=g)),
        (xavier_normal(5 / 3), lambda w, g: nn.init.xavier_normal_(w, 5 / 3, generator=g)),
        (xavier_uniform(), lambda w, g: nn.init.xavier_uniform_(w, generator=g)),
    ],
    ids=lambda value: str(value) if isinstance(value, Scheme) else "",
)
def test_the_same_draw_as_torchs_where_they_mean_the_same(ours: Scheme, torchs: Any) -> None:
    layer, weight = nn.Conv2d(3, 5, 3), torch.empty(5, 3, 3, 3)
    ours.fill(layer, torch.Generator().manual_seed(1))
    torchs(weight, torch.Generator().manual_seed(1))
    torch.testing.assert_close(layer.weight.detach(), weight)


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: he_normal().fill(nn.ReLU()), TypeError, "a linear layer, a convolution or a tensor has fans; ReLU"),
        (lambda: he_normal().fill(torch.empty(3)), ValueError, r"\[outputs, inputs, \*kernel\]; .* shape \[3\]"),
        (lambda: he_normal().fill(torch.empty(3, 0)), ValueError, "0 inputs and 3 outputs has no fan_in to scale with"),
        (lambda: he_normal(fan="both"), ValueError, "fan must be one of .*; got 'both'"),  # type: ignore[arg-type]
        (lambda: xavier_normal(gain=0.0), ValueError, "gain must be a finite number, greater than 0; got 0.0"),
    ],
)
def test_misuse_is_refused_in_a_sentence(call: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        call()
