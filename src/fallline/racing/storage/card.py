"""What a storage is told of a race as it begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fallline.racing.arms.dimensions import Dimension


@dataclass(frozen=True)
class RaceCard:
    """A race before its first run.

    `fingerprint` is that of `fallline.racing.storage.fingerprint`; `spaces` are the dimensions that each arm searches,
    by the arms' names; `command` is plain data from which a person, or a command line, can start the race again.
    """

    problem: str
    fingerprint: str
    higher_is_better: bool
    spaces: Mapping[str, Mapping[str, Dimension]]
    command: Mapping[str, Any]
    planned_runs: int
