"""How tensors lie in memory, whether they still lie so at the next step, and whether they are whole."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter, is_, itemgetter
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from fallline.optim.states import StateOf
from fallline.symbolic import Plan


def is_plain(tensor: Tensor) -> bool:
    """Whether the tensor is only what it seems: fake and wrapping tensors have no memory that a kernel may write to."""
    return type(tensor).__torch_dispatch__ is Tensor.__torch_dispatch__


#: The types of devices that there are kernels for.
DEVICES: tuple[str, ...] = ("cpu",)


def has_memory(tensor: Tensor) -> bool:
    """Whether the tensor's elements lie in memory, here or on another device."""
    return is_plain(tensor) and tensor.layout == torch.strided and tensor.device.type != "meta"


def addressable(tensor: Tensor) -> bool:
    """Whether the tensor has memory here that a kernel may walk through."""
    return has_memory(tensor) and tensor.device.type in DEVICES


def is_dense(tensor: Tensor) -> bool:
    """Whether the elements fill one run of memory without gaps or overlaps, in whatever order of dimensions."""
    if tensor.is_contiguous():
        return True
    expected = 1
    for stride, size in sorted(
        (stride, size) for stride, size in zip(tensor.stride(), tensor.shape, strict=True) if size > 1
    ):
        if stride != expected:
            return False
        expected *= size
    return True


def same_strides(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors of one shape hold the same element at the same place; a dimension of size 1 has no stride."""
    return a.shape == b.shape and all(
        x == y or size <= 1 for x, y, size in zip(a.stride(), b.stride(), a.shape, strict=True)
    )


def rows_are_runs(tensor: Tensor) -> bool:
    """Whether each index of the first dimension is one run of memory, so that channels can be summed in place."""
    return tensor.dim() < 2 or tensor.stride(0) == tensor.numel() // tensor.shape[0] or tensor.shape[0] == 1


def overlapping(tensors: Sequence[Tensor]) -> set[int]:
    """Which of the tensors share memory with another one, by position."""
    if len(tensors) < 2:
        return set()
    starts = np.array([tensor.data_ptr() for tensor in tensors], np.int64)
    ends = starts + np.array([_extent(tensor) for tensor in tensors], np.int64)
    order = np.argsort(starts, kind="stable")
    reach = np.maximum.accumulate(ends[order])
    touches_earlier = np.concatenate([[False], starts[order][1:] < reach[:-1]])
    touched_by_later = np.concatenate([touches_earlier[1:], [False]])
    # A long tensor may reach over several: everything from its start up to the last that it reaches is counted.
    return set(order[touches_earlier | touched_by_later].tolist())


def _extent(tensor: Tensor) -> int:
    if tensor.numel() == 0:
        return 0
    span = sum(stride * (size - 1) for stride, size in zip(tensor.stride(), tensor.shape, strict=True)) + 1
    return span * tensor.element_size()


def layout_guard(tensors: Sequence[Tensor]) -> Callable[..., bool]:
    """A function that says whether other tensors have the same types, shapes and strides, one by one, fast."""
    try:
        from torch._C._dynamo.guards import TensorGuards  # the same check, compiled
    except ImportError:
        return _plain_guard(tensors)
    check: Callable[..., bool] = TensorGuards(*tensors, dynamic_dims_sizes=None, dynamic_dims_strides=None).check
    return check if check(*tensors) else _plain_guard(tensors)  # it never lets one tensor stand twice


def _plain_guard(tensors: Sequence[Tensor]) -> Callable[..., bool]:
    expected = list(map(_described, tensors))

    def check(*others: Tensor | None) -> bool:
        return all(t is not None for t in others) and expected == [_described(t) for t in others if t is not None]

    return check


def _described(t: Tensor) -> tuple[object, ...]:
    strides = t.stride() if t.layout == torch.strided else ()
    return t.dtype, t.device, t.layout, t.shape, strides, t.is_neg(), t.is_conj()


#: Tensors are looked at in blocks that fit a core's cache, since each is asked several things.
BLOCK = 256

_address = Tensor.data_ptr
_gradient = attrgetter("grad")


class Watch:
    """A block of parameters with their gradients and states.

    Parameters and `loose` tensors are watched by address and layout; what lies under `keys` in the states, by identity.
    """

    def __init__(
        self, params: Sequence[Tensor], states: Sequence[StateOf], keys: Sequence[str], loose: Sequence[Tensor]
    ) -> None:
        self._params = list(params)
        #: The gradients whose addresses were given out, kept alive until the step is taken.
        self.held: list[Tensor] = []
        self._states = list(states)
        self._kept: list[tuple[Any, list[Tensor]]] = [(itemgetter(k), [state[k] for state in states]) for k in keys]
        self._written = [*params, *loose]
        gradients = [p.grad for p in params if p.grad is not None]
        self._layout = layout_guard([*gradients, *self._written])
        self._addresses = list(map(_address, self._written))

    def gradient_addresses(self) -> list[int] | None:
        """Where the gradients lie now; None if anything else lies elsewhere, or anything otherwise, than it did."""
        self.held = gradients = list(map(_gradient, self._params))
        if not self._layout(*gradients, *self._written) or list(map(_address, self._written)) != self._addresses:
            return None
        for key, values in self._kept:
            if not all(map(is_, map(key, self._states), values)):
                return None
        increment_version(self._written)  # here, where they are at hand, for the writing that follows
        return list(map(_address, gradients))


def is_distributed(tensor: Tensor) -> bool:
    """Whether the tensor is a DTensor, of which a kernel would see this process's shard."""
    return any(base.__name__ == "DTensor" for base in type(tensor).__mro__)


def sums_over_all(plan: Plan) -> bool:
    """Whether a rule's numbers follow from all tensors together."""
    return any(total.operation == "joint_sum" for total in plan.totals)


def check_sight(plan: Plan, params: Iterable[Tensor], name: str) -> None:
    """Raise RuntimeError if a rule needs to see more than it is shown; element by element a part is enough."""
    if plan.totals or plan.uses_channels or "dimensions" in plan.scalars:
        check_whole(params, name)
    if sums_over_all(plan):
        check_all(name)


def check_whole(params: Iterable[Tensor], name: str) -> None:
    """Raise RuntimeError if FSDP has put a part of a tensor, or several in one, in a parameter's place.

    All parameters are looked at, and how they are sharded, not what of them lies here: so that every process refuses.
    The views that the optimizer holds don't lead to the flat parameter that knows it, which is looked for everywhere.
    """
    flattened = [p for p in params if getattr(p, "_fsdp_flattened", False)]
    if not flattened:
        return
    flats = [x for x in gc.get_objects() if issubclass(type(x), Tensor) and getattr(x, "_is_flat_param", False)]
    whole = {id(p) for flat in flats if not _is_sharded(flat) for p in getattr(flat, "_params", None) or ()}
    if any(id(p) not in whole for p in flattened):
        raise RuntimeError(
            f"{name} needs whole tensors, of which FullyShardedDataParallel shows the optimizer flat parts, so its "
            "steps would be others than without sharding; take an element-wise method (Adam, AdamW, SGD, ...), or "
            "ShardingStrategy.NO_SHARD with use_orig_params=True, or DistributedDataParallel"
        )


def _is_sharded(flat: Any) -> bool:
    sizes = [getattr(flat, name, None) for name in ("_sharded_size", "_unpadded_unsharded_size")]
    return None in sizes or sizes[0] != sizes[1]


def check_all(name: str) -> None:
    """Raise RuntimeError if this step is one of `ZeroRedundancyOptimizer`'s, which deals the tensors out.

    It tells the optimizer that it makes nothing of that, so the calling frames are asked.
    """
    module = sys.modules.get("torch.distributed.optim.zero_redundancy_optimizer")
    if module is None:
        return
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        owner = frame.f_locals.get("self") if frame.f_code.co_filename == module.__file__ else None
        if isinstance(owner, module.ZeroRedundancyOptimizer) and owner.world_size > 1:
            raise RuntimeError(
                f"{name} sums over all tensors, and ZeroRedundancyOptimizer shows each process some of them, so its "
                "steps would be others than without it; use the optimizer itself with DistributedDataParallel, or a "
                "method that steps each tensor by itself"
            )
        frame = frame.f_back
