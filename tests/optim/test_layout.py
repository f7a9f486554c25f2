"""How tensors lie in memory, against what their elements' addresses say, and guards that notice any change of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from fallline.optim import layout
from fallline.optim.layout import (
    addressable,
    is_dense,
    is_plain,
    layout_guard,
    overlapping,
    rows_are_runs,
    same_strides,
)


def block(*shape: int) -> Tensor:
    return torch.arange(float(torch.Size(shape).numel())).reshape(shape)


LAYOUTS: dict[str, Callable[[], Tensor]] = {
    "a number": lambda: torch.tensor(1.0),
    "a vector": lambda: block(4),
    "one number in four": lambda: block(1),
    "no elements": lambda: block(3, 0),
    "a matrix": lambda: block(3, 4),
    "transposed": lambda: block(3, 4).t(),
    "a transposed square": lambda: block(3, 3).t(),
    "a column": lambda: block(4, 1),
    "a row": lambda: block(1, 4),
    "a row of odd strides": lambda: torch.as_strided(block(8), (1, 4), (17, 1)),
    "a column of odd strides": lambda: torch.as_strided(block(8), (4, 1), (1, 17)),
    "every other of a vector": lambda: block(8)[::2],
    "every other row": lambda: block(6, 4)[::2],
    "every other column": lambda: block(3, 8)[:, ::2],
    "expanded": lambda: block(1).expand(3),
    "expanded rows": lambda: block(4).expand(3, 4),
    "windows that overlap": lambda: torch.as_strided(block(8), (3, 4), (2, 1)),
    "channels last": lambda: block(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
    "permuted": lambda: block(2, 3, 4).permute(2, 0, 1),
    "permuted behind the first": lambda: block(2, 3, 4).permute(0, 2, 1),
    "one channel, permuted": lambda: block(1, 3, 4).permute(0, 2, 1),
    "a block cut out": lambda: block(4, 5)[1:3, 1:4],
}


def addresses(tensor: Tensor) -> Tensor:
    """Where each element lies, counted in elements from the first."""
    offsets = torch.zeros(tensor.shape, dtype=torch.long)
    for axis, (stride, size) in enumerate(zip(tensor.stride(), tensor.shape, strict=True)):
        offsets += (torch.arange(size) * stride).reshape([-1 if i == axis else 1 for i in range(tensor.dim())])
    return offsets


def fills_a_run(offsets: Tensor) -> bool:
    return sorted(offsets.flatten().tolist()) == list(range(offsets.numel()))


@pytest.mark.parametrize("made", LAYOUTS.values(), ids=LAYOUTS)
def test_dense_is_what_fills_one_run_of_memory(made: Callable[[], Tensor]) -> None:
    assert is_dense(made()) == fills_a_run(addresses(made()))


@pytest.mark.parametrize("other", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("made", LAYOUTS.values(), ids=LAYOUTS)
def test_strides_are_the_same_where_every_element_lies_at_the_same_place(
    made: Callable[[], Tensor], other: Callable[[], Tensor]
) -> None:
    here, there = addresses(made()), addresses(other())
    if here.numel():  # without elements there is no place
        assert same_strides(made(), other()) == (here.shape == there.shape and torch.equal(here, there))


@pytest.mark.parametrize("made", [made for made in LAYOUTS.values() if is_dense(made()) and made().numel()])
def test_rows_are_runs_where_each_index_of_the_first_dimension_fills_one(made: Callable[[], Tensor]) -> None:
    offsets = addresses(made())
    assert rows_are_runs(made()) == (offsets.dim() < 2 or all(fills_a_run(row - row.min()) for row in offsets))


SHARED: dict[str, tuple[list[slice], set[int]]] = {
    "one": ([slice(0, 8)], set()),
    "side by side": ([slice(0, 4), slice(4, 8), slice(8, 9)], set()),
    "in no order": ([slice(8, 9), slice(0, 4), slice(4, 8)], set()),
    "by one element": ([slice(0, 5), slice(4, 8)], {0, 1}),
    "the same twice": ([slice(0, 4), slice(6, 8), slice(0, 4)], {0, 2}),
    "one inside another": ([slice(0, 9), slice(3, 4), slice(10, 12)], {0, 1}),
    "a long one over several, and one apart": (
        [slice(14, 16), slice(0, 12), slice(2, 3), slice(5, 6), slice(8, 13), slice(13, 14)], {1, 2, 3, 4},
    ),
    "nothing inside another": ([slice(0, 8), slice(4, 4)], set()),
    "gaps do not count": ([slice(0, 8, 2), slice(8, 10)], set()),
    "into the last of a strided one": ([slice(0, 9, 2), slice(8, 10)], {0, 1}),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("parts", "expected"), SHARED.values(), ids=SHARED)
def test_which_tensors_share_memory(parts: list[slice], expected: set[int], dtype: torch.dtype) -> None:
    whole = torch.zeros(16, dtype=dtype)
    assert overlapping([whole[part] for part in parts]) == expected


KINDS: dict[str, tuple[Callable[[], Tensor], bool, bool]] = {
    "a tensor": (lambda: torch.ones(2), True, True),
    "a parameter": (lambda: torch.nn.Parameter(torch.ones(2)), True, True),
    "sparse": (lambda: torch.eye(2).to_sparse(), True, False),
    "without data": (lambda: torch.ones(2, device="meta"), True, False),
}


@pytest.mark.parametrize(("made", "plain", "reachable"), KINDS.values(), ids=KINDS)
def test_what_has_memory_to_walk_through(made: Callable[[], Tensor], plain: bool, reachable: bool) -> None:
    assert (is_plain(made()), addressable(made())) == (plain, reachable)


# ---------------------------------------------------------------------------------------------------------------------
# Guards
# ---------------------------------------------------------------------------------------------------------------------

CHANGED: dict[str, Callable[[Tensor], Any]] = {
    "another type": lambda t: t.double(),
    "another device": lambda t: t.to("meta"),
    "sparse": lambda t: t.to_sparse(),
    "another shape of as many": lambda t: t.reshape(9, 1),
    "fewer": lambda t: t[:2],
    "transposed": lambda t: t.t(),
    "negated by a bit": lambda t: torch._neg_view(t),
    "absent": lambda t: None,
}


@pytest.fixture(params=["compiled", "plain"])
def make_guard(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The guard as it is made, and where torch's own is not to be had."""
    if request.param == "plain":
        monkeypatch.setattr(layout, "layout_guard", layout._plain_guard)
    return layout.layout_guard


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED)
def test_a_guard_notices_each_change_of_each_tensor(
    make_guard: Any, change: Callable[[Tensor], Any], place: int
) -> None:
    tensors = [block(3, 3), block(3, 3), block(3, 3)]
    check = make_guard(tensors)
    assert check(*tensors)
    assert check(*[tensor.clone() for tensor in tensors])  # others that lie alike
    assert not check(*[change(tensor) if i == place else tensor for i, tensor in enumerate(tensors)])


def test_a_guard_notices_a_conjugation(make_guard: Any) -> None:
    tensors = [torch.ones(2, dtype=torch.complex64)]
    check = make_guard(tensors)
    assert check(torch.zeros(2, dtype=torch.complex64))
    assert not check(torch.ones(2, dtype=torch.complex64).conj())


def test_a_guard_lets_one_tensor_stand_twice() -> None:
    """As two parameters that have one gradient let it."""
    one, other = block(3, 3), block(3, 3)
    check = layout_guard([one, one, other])
    assert check(one, one, other)
    assert check(other.clone(), other, one)
    assert not check(one, one, other.t())
