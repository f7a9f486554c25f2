"""What goes with large batches: a rate that grows with the batch, and a gentle way up to it.

Goyal et al., *Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour*, 2017.
"""

from __future__ import annotations

from fallline.schedules.arguments import as_count, as_number
from fallline.schedules.schedule import Schedule


def warmup(steps: int, start: float = 0.0) -> Schedule:
    """Return the straight line from `start` at step 0 to 1 at step `steps`; it stays at 1. torch calls it LinearLR.

    From 0 the first update moves nothing; `start=1 / steps` avoids that.

    Raises TypeError or ValueError unless `steps` is a whole number from 1 and `start` from 0 to 1.

    >>> [warmup(4)(step) for step in (0, 1, 4, 9)]
    [0.0, 0.25, 1.0, 1.0]
    """
    length = as_count("steps", steps)
    return Schedule(_warmup, (length, as_number("start", start, most=1)), length)


def linear_scaling(batch_size: int, reference: int = 256) -> float:
    """Return batch_size / reference: a batch k times as large takes a learning rate k times as large.

    Multiply a rate or a schedule with it. Raises TypeError or ValueError for what is not a whole number from 1.

    >>> 0.1 * linear_scaling(8192)
    3.2
    """
    return as_count("batch_size", batch_size) / as_count("reference", reference)


def _warmup(step: int, steps: int, start: float) -> float:
    return start + (1 - start) * (min(step, steps) / steps)
