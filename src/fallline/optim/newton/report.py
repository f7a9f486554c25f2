"""What one Newton step did, and why it stopped where it did."""

from __future__ import annotations

from dataclasses import dataclass

from fallline.optim.newton.step_length import Reason


@dataclass(frozen=True)
class NewtonReport:
    """What one Newton step did.

    `gradient_norm` (before the step) and `step_norm` are the largest absolute entry. `step_size` is the length taken
    along the direction, in units of the full Newton step; 0 if none was. `negative_curvature` says whether the Hessian
    was found to bend downwards: by its `smallest_eigenvalue` if it is exact, by a direction that conjugate gradients
    met if not (they may miss one). `cg_iterations` and `smallest_eigenvalue` are None on the other's path.
    """

    reason: Reason
    loss_before: float
    loss_after: float
    gradient_norm: float
    step_norm: float
    step_size: float
    evaluations: int
    negative_curvature: bool
    smallest_eigenvalue: float | None
    cg_iterations: int | None

    @property
    def finished(self) -> bool:
        """Whether another step from here would do no more."""
        return self.reason != "step taken"
