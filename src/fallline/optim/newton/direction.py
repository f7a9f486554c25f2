"""Where a step goes: what both ways of solving Newton's system hand over."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Direction:
    """A flat vector that does not lead uphill, and what was learnt about the Hessian on the way to it.

    `escape` is the curvature along the vector if it leads out of a stationary point, and 0 otherwise.
    """

    vector: Tensor
    negative_curvature: bool
    smallest_eigenvalue: float | None = None
    cg_iterations: int | None = None
    escape: float = 0.0
