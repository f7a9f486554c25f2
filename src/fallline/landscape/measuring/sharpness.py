"""How far the loss rises in a small box around the weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fallline._asked import number, whole
from fallline.landscape.measuring.loss_at import LossAt
from fallline.landscape.measuring.measured import Measured, Mode, Watch
from fallline.landscape.slice_losses import Model
from fallline.training import Problem, ProblemError

_ENOUGH = 1e-3  # of the rise: what one more corner must add


@dataclass(frozen=True)
class Sharpness(Measured):
    """How far the loss rises within a box.

    Two networks that compute the same, such as a ReLU network with one layer scaled up and the next down, differ in
    it: compare only networks whose weights are of like size.

    Attributes:
        value: 100 (highest - loss) / (1 + loss).
        highest: The highest loss that was found in the box, which the highest there is may exceed; infinite where the
            loss is not finite within the box.
        width: The box reaches width (|w| + 1) to both sides of each weight w.
    """

    value: float
    highest: float
    width: float

    @property
    def told(self) -> str:
        """The rise in per cent, and the box."""
        return (
            f"sharpness {self.value:.3g} % of 1 + loss: within {self.width:g} (|w| + 1) of each weight w it rises "
            f"to {self.highest:.3g} at least"
        )


def sharpness(
    problem: Problem,
    model: Model,
    *,
    width: float = 1e-3,
    corners: int = 10,
    split: str = "train",
    examples: int | None = None,
    mode: Mode = "evaluation",
    seed: int = 0,
    progress: Watch | None = None,
) -> Sharpness:
    """Measure how far the loss rises in a small box around the weights.

    The measure is that of Keskar and others (On large-batch training for deep learning, 2017). It is searched for at
    the box's corners, each time at the one that the gradient at the last points to: on a convex loss that never
    descends.

    Args:
        problem: The problem whose loss it is.
        model: A module, or the state_dict of one that the problem's model function builds. A copy is measured.
        width: The box's reach for a weight w, in |w| + 1; 1e-3 and 5e-4 are customary.
        corners: How many corners are tried at most; it ends earlier where one adds nothing.
        split: The split that the examples are of.
        examples: How many of them are taken, always the same; all unless given.
        mode: "evaluation" or "training", for dropout and batch norm.
        seed: What draws the masks of dropout.
        progress: A function that is told a `Progress`, before the first gradient and after each.

    Returns:
        The sharpness, and what it holds for.

    Raises:
        TypeError, ValueError: It can't be measured; the sentence names the argument.

    >>> from fallline.problems import digits
    >>> problem = digits()
    >>> round(sharpness(problem, problem.build(0)).value, 3)
    0.214
    """
    width, corners = number("width", width, above=0), whole("corners", corners)
    at = LossAt(problem, model, split, examples, mode, seed, progress)
    if at.here <= -1:
        raise ProblemError(f"loss: sharpness is a share of 1 + loss, which must be above 0; the loss is {at.here:g}.")
    at.expect(corners * 4 / 3, 4)
    reach = width * (np.abs(at.weights) + 1)
    step, highest = None, at.here
    for _ in range(corners):
        corner = np.where(at.gradient(step) < 0, -reach, reach)
        found = at.loss(corner)
        if not math.isfinite(found):
            highest = math.inf
            break
        gained, highest, step = found - highest, max(highest, found), corner
        if gained <= _ENOUGH * (highest - at.here):
            break
    value = 100 * (highest - at.here) / (1 + at.here)
    return Sharpness(value=value, highest=highest, width=width, **at.measured())
