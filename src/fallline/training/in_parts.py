"""Going on where memory runs out."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from fallline.training.errors import ProblemError, first_line

Item = TypeVar("Item")
Result = TypeVar("Result")

#: What torch's CPU allocator says, on Linux and on Windows, in an error of no type of its own.
_SAID = ("can't allocate memory", "not enough memory")


def train_in_parts(items: Sequence[Item], train: Callable[[Sequence[Item], int], list[Result]]) -> list[Result]:
    """Train runs together, or, where memory runs out, half of them after the other, and so on.

    `items` say what to train, such as a seed and a rule each. `train(part, done)` trains some of them, `done` of which
    were trained before, and returns a result each; it is begun anew with a smaller part. The results are in the order
    of the items. A run in a smaller population has the same numbers to rounding.

    Raises ProblemError where there is not enough memory for one run alone.

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
        _give_back()
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


def _give_back() -> None:
    gc.collect()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
