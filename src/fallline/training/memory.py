"""How much memory a pass needs, and how to go on in parts: where memory is short, and where some of many fail."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from fallline.training.errors import BatchingError, ProblemError, first_line

BUDGET = 2**25  # bytes that one pass may leave behind: what `keep_freed_memory` lets glibc keep, and some room
_OTHER_DEVICES = 2**32  # there wide passes are what keeps the device busy


@dataclass(frozen=True)
class Footprint:
    """Bytes that one example needs in one lane: at once in a pass forward and backward, and in the output."""

    kept: int
    output: int


class _Largest(TorchFunctionMode):
    """Notes the size of the largest tensor that is computed, and of all together."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.total = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.bytes = max(self.bytes, _bytes(result))
            self.total += _bytes(result)
        return result


def footprint(module: nn.Module, inputs: Tensor, compute: Callable[[Tensor], Tensor] | None = None) -> Footprint:
    """Measure a pass on a few examples: of the module, or of `compute`, which calls it.

    A frozen body keeps nothing for the backward pass, but its largest tensor is there while the next is computed.

    >>> footprint(nn.Linear(3, 4), torch.randn(2, 3))
    Footprint(kept=32, output=16)
    """
    known = {_address(parameter) for parameter in module.parameters()}
    kept = 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal kept
        if _address(tensor) not in known:
            known.add(_address(tensor))
            kept += _bytes(tensor)
        return tensor

    module.eval()
    compute = module if compute is None else compute
    with torch.enable_grad(), _Largest() as top:
        try:
            with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
                output = compute(inputs.clone())
        except RuntimeError:  # torch.func can't be watched so; what it computes is an upper bound of what it keeps
            output = compute(inputs.clone())
            kept = top.total
    module.train()
    examples = len(inputs)
    return Footprint(max(kept + output.nbytes, 2 * top.bytes) // examples, output.nbytes // examples)


def _address(tensor: Tensor) -> int:
    return tensor.data_ptr() if tensor.layout == torch.strided else id(tensor)


def _bytes(tensor: Tensor) -> int:
    """Bytes of a tensor, of a sparse one as if it held all its elements."""
    return tensor.numel() * tensor.element_size()


def pass_budget(device: torch.device) -> int:
    """Bytes that one pass over some lanes or examples may need; never less for a machine that is busy."""
    return BUDGET if device.type == "cpu" else _OTHER_DEVICES


def parts(total: int, size: int) -> Iterator[slice]:
    """Cut `total` things into slices of at most `size`, and at least one.

    >>> list(parts(5, 2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    size = max(1, size)
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))


def keep_freed_memory() -> None:
    """Let glibc keep freed blocks up to 31 MiB for the next pass, instead of returning them to the system.

    A pass allocates the same blocks in every step, and fresh pages cost more than the arithmetic on them. Freeing one
    such block raises glibc's thresholds; its memory is never touched. Other allocators do not care.
    """
    torch.empty(31 * 2**20, dtype=torch.uint8)


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
