"""The direction from Hessian-vector products alone, by truncated conjugate gradients."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from fallline.optim.newton.direction import Direction

#: Curvature below so many roundings of the largest met is none.
_FLAT = 10


def conjugate_gradients(
    gradient: Tensor, product: Callable[[Tensor], Tensor], tolerance: float | None, limit: int
) -> Direction:
    """Solve H d = -g until the residual is `tolerance` of the gradient, or for `limit` products.

    With None for a tolerance, min(1/2, √‖g‖), which makes Newton's method converge superlinearly (Dembo and Steihaug,
    1983; Nocedal and Wright, 2006, algorithm 7.1). Where a search direction has negative curvature the solution follows
    it and ends, as Steihaug's (1983) does at the edge of his trust region; there is none here, so it goes as far as the
    curvature's size says, as in saddle-free Newton (Dauphin et al., 2014). A direction without curvature is followed
    for its own length.

    >>> H = torch.diag(torch.tensor([4.0, 1.0]))
    >>> conjugate_gradients(torch.tensor([2.0, 2.0]), lambda v: H @ v, 1e-6, 10).vector
    tensor([-0.5000, -2.0000])
    """
    solution = torch.zeros_like(gradient)
    residual = gradient.clone()
    search = -residual
    squared = float(residual @ residual)
    size = math.sqrt(squared)
    goal = size * (min(0.5, math.sqrt(size)) if tolerance is None else tolerance)
    rounding = _FLAT * torch.finfo(gradient.dtype).eps
    largest = 0.0
    iterations, negative = 0, False
    while iterations < limit and math.sqrt(squared) > goal:
        iterations += 1
        image = product(search)
        curvature, length = float(search @ image), float(search @ search)
        largest = max(largest, abs(curvature) / length)
        flat = abs(curvature) <= rounding * largest * length
        if flat or curvature < 0:
            solution.add_(search, alpha=1.0 if flat else squared / -curvature)
            negative = not flat
            break
        solution.add_(search, alpha=squared / curvature)
        residual.add_(image, alpha=squared / curvature)
        before, squared = squared, float(residual @ residual)
        search = search * (squared / before) - residual
    return Direction(solution, negative, cg_iterations=iterations)
