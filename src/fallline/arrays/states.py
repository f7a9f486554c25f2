"""States between the engine, which keeps tensors, and files, which keep arrays."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from fallline.arrays.checks import Array
from fallline.arrays.slot import Slot
from fallline.symbolic import Rule


def written_states(states: Mapping[str, torch.Tensor]) -> dict[str, Array]:
    """The states of one name as arrays, which share the tensors' memory."""
    return {key: tensor.numpy() for key, tensor in states.items()}


def read_states(rule: Rule, slot: Slot, saved: Mapping[str, Array]) -> dict[str, torch.Tensor]:
    """The states of one name as tensors. Raises ValueError for one that does not fit the slot's array."""
    tensors = {spec.name for spec in rule.tensor_states}
    for key, array in saved.items():
        shape = slot.shape if key in tensors else ()
        if array.shape != shape:
            raise ValueError(
                f"the loaded state '{key}' of '{slot.name}' has shape {array.shape}, and must have {shape}; load what "
                "was saved for arrays of these shapes"
            )
    return {
        key: torch.from_numpy(array.astype(slot.kind, order="C") if key in tensors else array.copy())
        for key, array in saved.items()
    }
