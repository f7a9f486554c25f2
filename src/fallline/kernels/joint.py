"""One step of several tables, and of tensors outside of them, whose sums over all tensors run over all of these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

#: Sums over all tensors, by what they sum: a number for each owner, [owners].
Sums = dict[str, Any]


class Joint(Protocol):
    """What takes part in a step: sums level by level, then writes."""

    @property
    def levels(self) -> int:
        """How many levels of sums there are before the writing."""

    def reduce(self, level: int) -> Sums:
        """Compute the sums of a level; return this part's share of those over all tensors."""

    def share(self, level: int, sums: Sums) -> None:
        """Take the sums of all parts together."""

    def write(self) -> None:
        """Write parameters and states."""


def run_jointly(parts: Sequence[Joint]) -> None:
    """Take one step. All sums are known before anything is written, so that no part sees another half-way."""
    for level in range(max((part.levels for part in parts), default=0)):
        taking = [part for part in parts if level < part.levels]
        joined: Sums = {}
        for part in taking:
            for key, value in part.reduce(level).items():
                joined[key] = _added(joined[key], value) if key in joined else value
        for part in taking:
            part.share(level, joined)
    for part in parts:
        part.write()


def _added(a: Any, b: Any) -> Any:
    if len(a) < len(b):
        a, b = b, a
    return a + b if len(a) == len(b) else a + np.pad(b, (0, len(a) - len(b)))
