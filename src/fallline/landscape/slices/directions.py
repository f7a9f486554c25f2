"""Random directions through a model's weights, at the scale of its own filters."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def filter_normalised(weights: Sequence[Tensor], dimensions: int, seed: int) -> list[Tensor]:
    """Gaussian directions [dimensions, ...], one tensor for each of a model's `weights`.

    Each filter, a row of the first dimension, is rescaled to the norm of the model's own; tensors of one dimension or
    none, such as biases, are zero. One seed draws the same numbers for all models, and the first direction alike
    whatever the dimensions. Source: Li et al., Visualizing the Loss Landscape of Neural Nets, 2018.

    >>> [direction] = filter_normalised([torch.tensor([[3.0, 4.0], [0.0, 2.0]])], 1, seed=0)
    >>> direction.norm(dim=2).round(decimals=4)
    tensor([[5., 2.]])
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = [[_direction(weight, generator) for weight in weights] for _ in range(dimensions)]
    return [torch.stack(column) for column in zip(*drawn, strict=True)]


def _direction(weight: Tensor, generator: torch.Generator) -> Tensor:
    if weight.ndim <= 1:
        return torch.zeros_like(weight)
    # Drawn in double precision on the CPU, so that neither type nor device changes the direction.
    drawn = torch.randn(weight.shape, generator=generator, dtype=torch.float64).flatten(1)
    own = weight.detach().cpu().double().flatten(1).norm(dim=1, keepdim=True)
    rescaled: Tensor = drawn * (own / drawn.norm(dim=1, keepdim=True))
    return rescaled.view(weight.shape).to(weight)
