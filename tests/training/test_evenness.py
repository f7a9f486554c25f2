"""What tells how many lanes a pass must have for none of them to lie where numbers are computed otherwise."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fallline.training.evenness import Evenness

functional = nn.functional


def uneven_function() -> Callable[[Tensor], Tensor]:
    """One whose last digit hangs on the place, on this processor."""
    row = torch.linspace(-3, 3, 4096)
    functions = (torch.sigmoid, functional.silu, functional.elu, functional.gelu)
    return next(
        one for one in functions if not torch.equal(one(row), torch.cat([*(one(number) for number in row[:, None])]))
    )


@pytest.mark.parametrize(
    ("function", "rows", "lanes", "missing"),
    [
        ("relu", 7, 5, 0),
        ("relu", 7, 1, 1),
        ("uneven", 7, 5, 27),
        ("uneven", 7, 1, 31),
        ("uneven", 64, 5, 0),
        ("uneven", 64, 1, 1),
        ("uneven", 48, 5, 1),
        ("uneven in place", 7, 33, 31),
        ("batch norm", 64, 5, 27),
        ("into another", 7, 5, 27),
    ],
)
def test_lanes_that_are_missing(function: str, rows: int, lanes: int, missing: int) -> None:
    uneven = uneven_function()
    functions: dict[str, Callable[[Tensor], Tensor]] = {
        "relu": lambda x: 2 * x.relu() + 1,
        "uneven": uneven,
        "uneven in place": lambda x: functional.elu(x.clone(), inplace=True) + uneven(x),
        "batch norm": lambda x: functional.batch_norm(x, None, None, training=True),
        "into another": lambda x: torch.add(x, x, out=torch.empty_like(x)),
    }
    with Evenness() as evenness:
        functions[function](torch.randn(rows, 3))
    assert evenness.missing(lanes, rows) == missing


def test_what_is_tried_changes_nothing_of_a_models_own() -> None:
    count, other = torch.zeros(()), torch.ones(5)
    before = torch.get_rng_state()
    with Evenness():
        count.add_(1.0)
        other.mul_(count + 1)
        torch.sin(other, out=torch.empty(5))
    assert (count.item(), other.tolist()) == (1.0, [2.0] * 5)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("function", [lambda x: x.abs() ** 1.7, lambda x: torch.logaddexp(x, x.flip(0) / 3)])
def test_every_constant_and_operand_is_tried(function: Callable[[Tensor], Tensor]) -> None:
    """A power says nothing of another, nor a function of two numbers by what it makes of one of them twice."""
    apart = torch.randn(4096, 2, generator=torch.Generator().manual_seed(3))[:, 0]
    if torch.equal(function(apart), function(apart.contiguous())):
        pytest.skip("this processor takes the function alike everywhere")
    with Evenness() as evenness:
        function(2 * (apart**2).sqrt())
    assert evenness.missing(5, rows=7) == 27
