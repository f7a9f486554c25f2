"""Learning rates over time: pure functions of the step that compose, and drive any torch optimizer.

A schedule gives *factors*: the rate of a param group at a step is the group's own base rate times the factor. So one
schedule serves groups with different rates, and the base rate stays a thing to search. Steps count from 0: the factor
of step 0 is used by the first update.

>>> schedule = 0.5 * warmup(5).then(cosine(95))
>>> [schedule(step) for step in (0, 1, 5, 100)]
[0.0, 0.1, 0.5, 0.0]
"""

from fallline.schedules.laws import (
    cosine,
    exponential,
    inverse_square_root,
    inverse_time,
    linear,
    milestones,
    polynomial,
    staircase,
    table,
)
from fallline.schedules.recipes import large_minibatch, linear_scaling, one_cycle, warmup, warmup_stable_decay
from fallline.schedules.schedule import Schedule, constant

__all__ = [
    "Schedule", "constant", "cosine", "exponential", "inverse_square_root", "inverse_time", "large_minibatch",
    "linear", "linear_scaling", "milestones", "one_cycle", "polynomial", "staircase", "table", "warmup",
    "warmup_stable_decay",
]  # fmt: skip
