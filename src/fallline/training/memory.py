"""How much memory a pass needs, so that it can be taken in parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

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
