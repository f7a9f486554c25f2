"""What enters a race: arms, the spaces that are searched for them, and a winner as a program to paste."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fallline.racing.arms.arm import Arm
    from fallline.racing.arms.code import torch_code
    from fallline.racing.arms.dimensions import Choice, Dimension, Range, Value, from_json, space_of
    from fallline.racing.arms.entrants import as_arms, one_optimizer_twice

#: Imported when first asked for: dimensions need no torch, and those who ask for them should not wait for it.
_HOME = {
    "Arm": "phases",  # which lets an arm have them
    "Choice": "dimensions",
    "Dimension": "dimensions",
    "Range": "dimensions",
    "Value": "dimensions",
    "as_arms": "entrants",
    "from_json": "dimensions",
    "one_optimizer_twice": "entrants",
    "space_of": "dimensions",
    "torch_code": "code",
}

__all__ = [
    "Arm",
    "Choice",
    "Dimension",
    "Range",
    "Value",
    "as_arms",
    "from_json",
    "one_optimizer_twice",
    "space_of",
    "torch_code",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'fallline.racing.arms' has no attribute '{name}'")
    return getattr(importlib.import_module(f"fallline.racing.arms.{_HOME[name]}"), name)
