"""Attention by matrix products and a softmax, as torch's documentation defines it (Vaswani and others, 2017)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Change = Callable[[Tensor], Tensor]


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    is_causal: bool,
    scale: float | None,
    enable_gqa: bool,
    softmax: Change,
    dropped: Change = lambda weights: weights,
) -> Tensor:
    """Mean values [..., n, out] by weights that are a `softmax` over the last dimension, `dropped` in part.

    >>> rows = torch.randn(5, 4)
    >>> mine = attend(rows, rows, rows, None, False, None, False, lambda scores: scores.softmax(-1))
    >>> torch.allclose(mine, torch.nn.functional.scaled_dot_product_attention(rows, rows, rows), atol=1e-6)
    True
    """
    if enable_gqa:
        key, value = (each.repeat_interleave(query.shape[-3] // each.shape[-3], -3) for each in (key, value))
    scores = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is None:
        return dropped(softmax(scores)) @ value
    scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    blind = (scores == -torch.inf).all(-1, keepdim=True)  # tokens that may see none attend to nothing
    return dropped(softmax(scores.masked_fill(blind, 0)).masked_fill(blind, 0)) @ value
