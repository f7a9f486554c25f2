"""Whether an optimizer sees whole tensors, and all of them: where it does not, a sum over them is another number."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable
from types import FrameType
from typing import Any

from torch import Tensor

from fallline.symbolic.plan import Plan


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
