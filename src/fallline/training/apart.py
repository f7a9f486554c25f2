"""Computing something of many lanes although it raises for some of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from fallline.training.errors import BatchingError
from fallline.training.in_parts import ran_out_of_memory

Result = TypeVar("Result")


def apart(
    compute: Callable[[slice], Result], lanes: slice, stand_in: Callable[[slice, Exception], Result]
) -> list[Result]:
    """Compute something of some lanes at once; where that raises, of each half of them, and so on.

    `stand_in(lane, error)` takes the place of what raises for one lane alone, or raises itself. Running out of memory
    is nobody's fault here, nor is it that lanes can't be batched; both are raised as they are.

    >>> def compute(lanes):
    ...     return [1 / (lane - 2) for lane in range(lanes.start, lanes.stop)]
    >>> apart(compute, slice(0, 4), lambda lane, error: [0.0])
    [[-0.5, -1.0], [0.0], [1.0]]
    """
    try:
        return [compute(lanes)]
    except Exception as error:
        if ran_out_of_memory(error) or isinstance(error, BatchingError):
            raise
        if lanes.stop - lanes.start == 1:
            return [stand_in(lanes, error)]
    middle = (lanes.start + lanes.stop) // 2
    halves = slice(lanes.start, middle), slice(middle, lanes.stop)
    return [result for half in halves for result in apart(compute, half, stand_in)]
