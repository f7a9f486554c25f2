"""The loss as a metric, where only a training step of one's own knows it."""

from __future__ import annotations

from torch import Tensor

from fallline.training.errors import ProblemError


def loss_of_step(output: Tensor, target: Tensor) -> Tensor:
    """Stand for the loss of a problem that has a step and no loss; the lanes compute it from model and inputs.

    Raises ProblemError always: outputs alone don't tell it.
    """
    raise ProblemError("metric: the loss of a step can't be computed from outputs; give the problem a loss as well.")
