"""Going on in parts: where memory is short, and where some of many fail."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from fallline.training.errors import BatchingError, ProblemError, first_line

Item = TypeVar("Item")
Result = TypeVar("Result")

#: What torch's CPU allocator says, on Linux and on Windows, in an error of no type of its own.
_SAID = ("can't allocate memory", "not enough memory")
BUDGET = 2**25  # bytes that one pass may leave behind: what `keep_freed_memory` lets glibc keep, and some room
_OTHER_DEVICES = 2**32  # there wide passes are what keeps the device busy


def pass_budget(device: torch.device) -> int:
    """Bytes that one pass over some lanes or examples may need; never less for a machine that is busy.

    Args:
        device: Where the pass is taken.
    """
    return BUDGET if device.type == "cpu" else _OTHER_DEVICES


def parts(total: int, size: int) -> Iterator[slice]:
    """Cut a number of things into slices.

    Args:
        total: How many things there are.
        size: How many a slice has at most; at least one is taken.

    Yields:
        The slices, in order.

    >>> list(parts(5, 2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    size = max(1, size)
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))


def joined(parts: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Put what was computed in parts together; one alone is not copied."""
    return torch.cat([*parts], dim) if len(parts) > 1 else parts[0]


def keep_freed_memory() -> None:
    """Let glibc keep freed blocks up to 31 MiB for the next pass, instead of returning them to the system.

    A pass allocates the same blocks in every step, and fresh pages cost more than the arithmetic on them. Freeing one
    such block raises glibc's thresholds; its memory is never touched. Other allocators do not care.
    """
    torch.empty(31 * 2**20, dtype=torch.uint8)


def train_in_parts(items: Sequence[Item], train: Callable[[Sequence[Item], int], list[Result]]) -> list[Result]:
    """Train runs together, or, where memory runs out, half of them after the other, and so on.

    A run in a smaller population has the same numbers to rounding.

    Args:
        items: What to train, such as a seed and a rule each.
        train: A function of (part, done) that trains some of the items, `done` of which were trained before, and
            returns a result each; it is begun anew with a smaller part.

    Returns:
        The results, in the order of the items.

    Raises:
        ProblemError: There is not enough memory for one run alone.

    >>> def train(part, done):
    ...     if len(part) > 2:
    ...         raise MemoryError
    ...     return [10 * item for item in part]
    >>> train_in_parts([1, 2, 3, 4, 5], train)
    [10, 20, 30, 40, 50]
    """
    results: list[Result] = []
    waiting = [items]
    while waiting:
        part = waiting.pop()
        try:
            results += train(part, len(results))
            continue
        except Exception as error:
            if not ran_out_of_memory(error):
                raise
            if len(part) == 1:
                raise ProblemError(
                    f"batch: there is not enough memory to train one run alone ({first_line(error)}); "
                    "give a smaller batch or a smaller model."
                ) from error
        # The error is gone by here, and with it its frames, which held the tensors.
        gc.collect()
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.empty_cache()
        half = len(part) // 2
        waiting += [part[half:], part[:half]]
    return results


def ran_out_of_memory(error: Exception) -> bool:
    """Whether this is how torch or Python say that there is no more memory.

    >>> ran_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory")), ran_out_of_memory(TypeError())
    (True, False)
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _SAID)


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
