"""How tensors lie in memory: what a kernel may walk through as one run of numbers, and whether it still lies so."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor


def is_plain(tensor: Tensor) -> bool:
    """Whether the tensor is only what it seems: fake and wrapping tensors have no memory that a kernel may write to."""
    return type(tensor).__torch_dispatch__ is Tensor.__torch_dispatch__


def addressable(tensor: Tensor) -> bool:
    """Whether the tensor has memory here that a kernel may walk through."""
    return is_plain(tensor) and tensor.layout == torch.strided and tensor.device.type == "cpu"


def is_dense(tensor: Tensor) -> bool:
    """Whether the elements fill one run of memory without gaps or overlaps, in whatever order of dimensions."""
    if tensor.is_contiguous():
        return True
    expected = 1
    for stride, size in sorted(
        (stride, size) for stride, size in zip(tensor.stride(), tensor.shape, strict=True) if size > 1
    ):
        if stride != expected:
            return False
        expected *= size
    return True


def same_strides(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors of one shape hold the same element at the same place; a dimension of size 1 has no stride."""
    return a.shape == b.shape and all(
        x == y or size <= 1 for x, y, size in zip(a.stride(), b.stride(), a.shape, strict=True)
    )


def rows_are_runs(tensor: Tensor) -> bool:
    """Whether each index of the first dimension is one run of memory, so that channels can be summed in place."""
    return tensor.dim() < 2 or tensor.stride(0) == tensor.numel() // tensor.shape[0] or tensor.shape[0] == 1


def overlapping(tensors: Sequence[Tensor]) -> set[int]:
    """Which of the tensors share memory with another one, by position."""
    if len(tensors) < 2:
        return set()
    starts = np.array([tensor.data_ptr() for tensor in tensors], np.int64)
    ends = starts + np.array([_extent(tensor) for tensor in tensors], np.int64)
    order = np.argsort(starts, kind="stable")
    reach = np.maximum.accumulate(ends[order])
    touches_earlier = np.concatenate([[False], starts[order][1:] < reach[:-1]])
    touched_by_later = np.concatenate([touches_earlier[1:], [False]])
    # A long tensor may reach over several: everything from its start up to the last that it reaches is counted.
    return set(order[touches_earlier | touched_by_later].tolist())


def _extent(tensor: Tensor) -> int:
    if tensor.numel() == 0:
        return 0
    span = sum(stride * (size - 1) for stride, size in zip(tensor.stride(), tensor.shape, strict=True)) + 1
    return span * tensor.element_size()


def layout_guard(tensors: Sequence[Tensor]) -> Callable[..., bool]:
    """A function that says whether other tensors have the same types, shapes and strides, one by one, fast."""
    try:
        from torch._C._dynamo.guards import TensorGuards  # the same check, compiled
    except ImportError:
        return _plain_guard(tensors)
    check: Callable[..., bool] = TensorGuards(*tensors, dynamic_dims_sizes=None, dynamic_dims_strides=None).check
    return check if check(*tensors) else _plain_guard(tensors)  # it never lets one tensor stand twice


def _plain_guard(tensors: Sequence[Tensor]) -> Callable[..., bool]:
    expected = list(map(_described, tensors))

    def check(*others: Tensor | None) -> bool:
        return all(t is not None for t in others) and expected == [_described(t) for t in others if t is not None]

    return check


def _described(t: Tensor) -> tuple[object, ...]:
    strides = t.stride() if t.layout == torch.strided else ()
    return t.dtype, t.device, t.layout, t.shape, strides, t.is_neg(), t.is_conj()
