"""The direction from the Hessian's eigenvectors: Newton's where it is positive definite, downhill where it is not."""

from __future__ import annotations

import torch
from torch import Tensor

from fallline.optim.eigenvectors import eigenvectors
from fallline.optim.newton.direction import Direction


def saddle_free(gradient: Tensor, hessian: Tensor, stationary: bool) -> Direction:
    """Solve |H| d = -g by the eigenvectors of H (Dauphin et al., 2014; Nocedal and Wright, 2006, section 3.4).

    `gradient` has shape (n,), `hessian` (n, n). Along an eigenvector whose eigenvalue is nought to rounding the model
    has no minimum: there the step is the gradient's own part, which is nought if the system has a solution, and then
    the step is the least-norm one. At a `stationary` point with negative curvature the direction is the eigenvector of
    the smallest eigenvalue, of unit length (Moré and Sorensen, 1979).

    >>> saddle_free(torch.tensor([2.0, 2.0]), torch.diag(torch.tensor([4.0, -1.0])), stationary=False).vector.tolist()
    [-0.5, -2.0]
    """
    values, vectors = torch.linalg.eigh(hessian)
    sizes = values.abs()
    flat = sizes <= len(values) * torch.finfo(values.dtype).eps * sizes.max()
    smallest = float(values[0])
    negative = smallest < 0 and not bool(flat[0])
    if stationary and negative:
        lowest = eigenvectors(hessian)[1][:, 0]  # the same one on every machine
        uphill = float(lowest @ gradient) > 0
        return Direction(-lowest if uphill else lowest, negative, smallest, escape=smallest)
    divisors = torch.where(flat, torch.ones_like(sizes), sizes)
    return Direction(-(vectors @ (vectors.T @ gradient / divisors)), negative, smallest)
