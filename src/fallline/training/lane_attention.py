"""Attention of many lanes, by operations that can be mapped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention


def _attention(*given: Any, **named: Any) -> Tensor:
    """Attend by matrix products and a softmax; torch takes its faster kernels one lane after the other."""
    with sdpa_kernel(SDPBackend.MATH):
        return scaled_dot_product_attention(*given, **named)


REPLACEMENTS: dict[Callable[..., Any], Callable[..., Tensor | None]] = {scaled_dot_product_attention: _attention}
