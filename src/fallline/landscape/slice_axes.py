"""The axes of a slice: random ones at the scale of a model's filters, or those along which models differ most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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


_FLAT = 1e-12  # share of the first axis's variance at which another one is nothing but rounding


@dataclass(frozen=True)
class PrincipalAxes:
    """Orthonormal axes as sums of differences from the last model: axis k is Σᵢ coefficients[k, i]·(θᵢ - θ_last).

    `coordinates` [models, dimensions] are the models' places, the last at the origin; distances between weights are the
    unit. `shares` [dimensions] are the axes' parts of the variance of the weights, `distances` [models] how far each
    model lies beside the line or plane.
    """

    coefficients: Tensor
    coordinates: Tensor
    shares: tuple[float, ...]
    distances: Tensor

    def along(self, stacked: Tensor) -> Tensor:
        """How a tensor [models, ...] changes along the axes: [dimensions, ...]."""
        change = self.coefficients @ _away(stacked)
        return change.view(-1, *stacked.shape[1:]).to(stacked)


def principal_axes(weights: Sequence[Tensor], dimensions: int) -> PrincipalAxes:
    """Find the principal axes of models whose weights are stacked [models, ...], tensor by tensor.

    Two models give the line through them, three the plane. Each axis points to where the first model is at a negative
    coordinate. Raises ValueError where the models do not span so many dimensions.

    >>> axes = principal_axes([torch.tensor([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])], 1)
    >>> axes.coordinates.flatten().round(decimals=6), round(axes.shares[0], 6)
    (tensor([-10.,  -5.,   0.], dtype=torch.float64), 1.0)
    """
    # All that is needed is in the products of the models' differences, a small matrix however many weights there are.
    products = torch.stack([away @ away.T for away in map(_away, weights)]).sum(0)
    centred = products - products.mean(0, keepdim=True)
    centred = centred - centred.mean(1, keepdim=True)
    variances, vectors = (found.flip(-1) for found in torch.linalg.eigh(centred))
    if not variances[0] > 0:
        raise ValueError(
            "models: their trainable weights are all the same; a state_dict shares the tensors of its module, so keep "
            "a copy of each, copy.deepcopy(model.state_dict())."
        )
    if not variances[dimensions - 1] > _FLAT * variances[0]:
        raise ValueError("models: their weights lie on one line; take dimensions=1, or give a model that is off it.")
    vectors, variances = vectors[:, :dimensions], variances.clamp_min(0)
    # An eigenvector of centred products sums to 0, so it weighs differences from the last model as those from the mean.
    coefficients = (vectors / variances[:dimensions].sqrt()).T
    coordinates = products @ coefficients.T
    facing = torch.where(coordinates[0] > 0, -1.0, 1.0).to(coordinates)
    shares = tuple((variances[:dimensions] / variances.sum()).tolist())
    # What is left of the squares is rounding, of a size that the largest of them sets, where a model is on the plane.
    left = products.diagonal() - coordinates.square().sum(1)
    distances = torch.where(left > _FLAT * products.diagonal().max(), left, 0.0).sqrt()
    return PrincipalAxes(
        facing[:, None] * coefficients,
        facing * coordinates + 0.0,
        shares,
        distances,  # no negative zeros
    )


def _away(stacked: Tensor) -> Tensor:
    """Differences from the last model, [models, numbers]."""
    return (stacked.double() - stacked[-1].double()).reshape(len(stacked), -1)
