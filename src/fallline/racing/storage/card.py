"""What a storage is told of a race as it begins, and how that is found there again."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from fallline.racing.arms.dimensions import Dimension
from fallline.racing.storage.attributes import CARD, all_attributes

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


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

    def as_fact(self, started: datetime) -> dict[str, Any]:
        """As plain data; `started` is when the race began."""
        return {
            "problem": self.problem,
            "fingerprint": self.fingerprint,
            "started": started.isoformat(timespec="seconds"),
            "planned_runs": self.planned_runs,
            "spaces": {
                arm: {name: dimension.to_json() for name, dimension in space.items()}
                for arm, space in self.spaces.items()
            },
            "command": dict(self.command),
        }


def kept_cards(session: Session) -> list[tuple[int, str, dict[str, Any]]]:
    """The races of a storage, the oldest first: study, name, and card as plain data.

    What another version wrote in another form, or somebody else under the same name, is no race and is passed over.
    """
    return [(study, name, card) for study, name, card in all_attributes(session, CARD) if _is_card(card)]


def _is_card(fact: Any) -> bool:
    kinds = {"problem": str, "fingerprint": str, "started": str, "planned_runs": int, "spaces": dict, "command": dict}
    if not isinstance(fact, dict) or any(not isinstance(fact.get(key), kind) for key, kind in kinds.items()):
        return False
    command = fact["command"]
    if not isinstance(command.get("effort"), dict) or not isinstance(command.get("seed"), int):
        return False
    with contextlib.suppress(ValueError):
        datetime.fromisoformat(fact["started"])
        return isinstance(json.loads(fact["fingerprint"]), dict)
    return False
