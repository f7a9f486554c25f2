"""How much memory a pass needs, so that it can be taken in parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

BUDGET = 2**25  # bytes that one pass may leave behind: what `keep_freed_memory` lets glibc keep, and some room


@dataclass(frozen=True)
class Footprint:
    """Bytes that one example leaves in one lane: kept for the backward pass, and in the output."""

    kept: int
    output: int


def footprint(module: nn.Module, inputs: Tensor) -> Footprint:
    """Measure a forward pass on a few examples.

    >>> footprint(nn.Linear(3, 4), torch.randn(2, 3))
    Footprint(kept=28, output=16)
    """
    known = {parameter.data_ptr() for parameter in module.parameters()}
    kept = 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal kept
        if tensor.data_ptr() not in known:
            known.add(tensor.data_ptr())
            kept += tensor.nbytes
        return tensor

    module.eval()
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        output = module(inputs)
    module.train()
    examples = len(inputs)
    return Footprint((kept + output.nbytes) // examples, output.nbytes // examples)


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
