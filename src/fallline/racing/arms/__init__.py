"""What enters a race: arms, the spaces that are searched for them, and a winner as a program to paste."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fallline._lazy import door

if TYPE_CHECKING:
    from fallline.racing.arms.arm import Arm
    from fallline.racing.arms.code import torch_code
    from fallline.racing.arms.dimensions import DEFAULT_SCHEDULE, Choice, Dimension, Range, Value, from_json, space_of
    from fallline.racing.arms.entrants import as_arms, by_family, found_by_name
    from fallline.racing.arms.twins import raced_once
    from fallline.racing.arms.typed import setting_name

#: Imported when first asked for: dimensions need no torch, and those who ask for them should not wait for it.
__getattr__ = door(__name__, {
    "phases": ("Arm",),  # which lets an arm have them
    "code": ("torch_code",),
    "dimensions": ("DEFAULT_SCHEDULE", "Choice", "Dimension", "Range", "Value", "from_json", "space_of"),
    "entrants": ("as_arms", "by_family", "found_by_name"),
    "twins": ("raced_once",),
    "typed": ("setting_name",),
})  # fmt: skip

__all__ = [
    "DEFAULT_SCHEDULE",
    "Arm",
    "Choice",
    "Dimension",
    "Range",
    "Value",
    "as_arms",
    "by_family",
    "found_by_name",
    "from_json",
    "raced_once",
    "setting_name",
    "space_of",
    "torch_code",
]
