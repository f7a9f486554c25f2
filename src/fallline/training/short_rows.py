"""Softmax over few classes, made to use the processor's vectors.

torch takes a softmax over the last dimension row by row. Rows shorter than a vector are computed number by number, five
to eight times slower than the same rows taken along another dimension.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_VECTOR_BYTES = 64 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 32


def _short(rows: Tensor) -> bool:
    few = rows.ndim >= 2 and rows.shape[-1] * rows.element_size() < _VECTOR_BYTES and rows.shape[-2] > 1
    return few and rows.is_floating_point() and rows.device.type == "cpu"


def _across(function: Callable[..., Tensor]) -> Callable[..., Tensor | None]:
    """Take a softmax along the second to last dimension of the transposed rows; None where that gains nothing."""

    def replacement(
        input: Tensor, dim: int | None = None, *rest: Any, dtype: torch.dtype | None = None, _stacklevel: int = 3
    ) -> Tensor | None:
        if dim not in (-1, input.ndim - 1) or dtype is not None or rest or not _short(input):
            return None
        return function(input.transpose(-1, -2), -2).transpose(-1, -2)

    return replacement


def _cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor | None:
    """Cross-entropy of rows [n, classes] with labels [n]; None for every other form of it."""
    labels = input.ndim == 2 and target.ndim == 1 and not target.is_floating_point()
    plain = size_average is None and reduce is None and not label_smoothing
    if not labels or not plain or not _short(input):
        return None
    logarithms = torch.log_softmax(input.t(), 0).t()
    return functional.nll_loss(logarithms, target, weight, ignore_index=ignore_index, reduction=reduction)


_SOFTMAX = _across(torch.softmax)
_LOG_SOFTMAX = _across(torch.log_softmax)
REPLACEMENTS: dict[Callable[..., Any], Callable[..., Tensor | None]] = {
    torch.softmax: _SOFTMAX,
    Tensor.softmax: _SOFTMAX,
    functional.softmax: _SOFTMAX,
    torch.log_softmax: _LOG_SOFTMAX,
    Tensor.log_softmax: _LOG_SOFTMAX,
    functional.log_softmax: _LOG_SOFTMAX,
    functional.cross_entropy: _cross_entropy,
}
