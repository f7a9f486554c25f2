"""Functions of the weights alone as problems: there are no data, and each step has the exact gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fallline.landscape import Surface, surfaces
from fallline.problems.bundled import bundled
from fallline.training import Metric, Problem


@bundled("A quadratic of 20 weights with condition number 100; no data, no noise.", real=False)
def quadratic(*, condition: float = 100.0, dimensions: int = 20, steps: int = 200) -> Problem:
    """Build the problem of ½ Σ λᵢ wᵢ² in float64, with curvatures λ from 1 to `condition`, evenly spaced in logarithm.

    The weights w, `dimensions` of them, begin as standard normal numbers drawn by the seed. Gradient descent runs away
    for learning rates over 2/`condition`, and contracts best, by (condition - 1)/(condition + 1) a step, at
    2/(condition + 1). Target and metric are as for `surface_problem`; heights begin at ½ Σ λᵢ on average.

    Args:
        condition: The highest curvature, where the lowest is 1.
        dimensions: The number of weights, at least 2.
        steps: How many steps a run takes.

    Raises:
        ValueError: The condition is below 1, or there are fewer than two dimensions.

    >>> quadratic(condition=10, dimensions=2).name
    'quadratic'
    """
    if not 1 <= condition < math.inf:
        raise ValueError(f"condition must be a finite number of at least 1; got {condition!r}.")
    if dimensions < 2:
        raise ValueError(f"dimensions must be at least 2, for the curvatures 1 and condition; got {dimensions!r}.")
    typical = float(_curvatures(condition, dimensions).sum()) / 2
    return _exact("quadratic", partial(_Quadratic, condition, dimensions), steps, _Descent(0.0, typical))


def surface_problem(surface: Surface, *, spread: float = 0.02) -> Problem:
    """Build the problem of descending on a surface in float64; the two weights are x and y.

    They begin at the surface's start, displaced by normal noise drawn by the seed, and take the surface's number of
    steps. The target is to leave a thousandth of the height between the start and the lowest of the surface's minima.
    The metric is the height, but what is within a millionth counts as alike, so that no race is decided behind the
    sixth digit. Where no minima are known there is no target, and the metric is the loss.

    Args:
        surface: What to descend on.
        spread: The standard deviation of the noise on the start.

    >>> from fallline.landscape import surfaces
    >>> surface_problem(surfaces.ravine)
    Problem('ravine', train 1, valid 1, test 1, batch 1, 150 epochs, metric 'height')
    """
    begin, *ends = surface.heights(*zip(surface.start, *surface.minima, strict=True)).tolist()
    descent = _Descent(min(ends), begin - min(ends)) if ends else None
    return _exact(surface.name, partial(_OnSurface, surface, spread), surface.steps, descent)


for _surface in surfaces.ALL.values():
    bundled(_surface.teaches, name=_surface.name, real=False)(partial(surface_problem, _surface))


class _Descent(NamedTuple):
    """The lowest height, and how far above it a run begins."""

    lowest: float
    height: float

    def left(self, share: float) -> float:
        return self.lowest + share * self.height


def _exact(name: str, model: Callable[[], nn.Module], steps: int, descent: _Descent | None) -> Problem:
    """A problem whose loss is what the model gives, whatever it is given: its one example, a zero, plays no part."""
    nothing = (torch.zeros(1, 1), torch.zeros(1, 1))
    return Problem(
        model=model,
        loss=_mean,
        train=nothing,
        valid=nothing,
        test=nothing,
        metric="loss" if descent is None else _height(descent.left(1e-6)),
        target=None if descent is None else descent.left(1e-3),
        batch=1,
        epochs=steps,
        name=name,
    )


def _mean(output: Tensor, target: Tensor) -> Tensor:
    return output.mean()


def _height(floor: float) -> Metric:
    """The output, or the floor where it is lower."""
    shares = partial(_not_below, floor)
    return Metric("height", partial(_mean_not_below, floor), False, shares, bounds=(floor, math.inf))


def _not_below(floor: float, output: Tensor, target: Tensor) -> Tensor:
    return output.clamp_min(floor)


def _mean_not_below(floor: float, output: Tensor, target: Tensor) -> Tensor:
    return _not_below(floor, output, target).mean()


def _curvatures(condition: float, dimensions: int) -> Tensor:
    return torch.logspace(0, math.log10(condition), dimensions, dtype=torch.float64)


class _Quadratic(nn.Module):
    def __init__(self, condition: float, dimensions: int) -> None:
        super().__init__()
        self.curvatures = _curvatures(condition, dimensions)
        self.weights = nn.Parameter(torch.randn(dimensions, dtype=torch.float64))

    def forward(self, examples: Tensor) -> Tensor:
        return ((self.curvatures * self.weights**2).sum() / 2).expand(len(examples))


class _OnSurface(nn.Module):
    def __init__(self, surface: Surface, spread: float) -> None:
        super().__init__()
        start = torch.tensor(surface.start, dtype=torch.float64)
        self.surface = surface
        self.weights = nn.Parameter(start + spread * torch.randn(2, dtype=torch.float64))

    def forward(self, examples: Tensor) -> Tensor:
        height: Tensor = self.surface(self.weights[0], self.weights[1])
        return height.expand(len(examples))
