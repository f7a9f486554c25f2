"""Racing optimizers on one's own problem, to a verdict that can be trusted."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fallline.racing.arms import Arm, Choice, Range
    from fallline.racing.effort import Effort
    from fallline.racing.protocol import race
    from fallline.racing.result import RaceResult

#: Imported when first asked for: `fallline --help` should not wait for torch.
_HOME = {
    "Arm": "arms",
    "Choice": "arms",
    "Effort": "effort",
    "RaceResult": "result",
    "Range": "arms",
    "race": "protocol",
}

__all__ = ["Arm", "Choice", "Effort", "RaceResult", "Range", "race"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'fallline.racing' has no attribute '{name}'")
    return getattr(importlib.import_module(f"fallline.racing.{_HOME[name]}"), name)
