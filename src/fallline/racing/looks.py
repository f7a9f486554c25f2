"""How often a race has been looked at: going on until somebody wins must not buy winners."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from fallline.racing.storage import Lasting, digest


def number_of_look(store: Lasting, problem_key: str, seed: int, arms: Sequence[str], finals: Iterable[str]) -> int:
    """Which look at these arms this is, from 1, and keep that it was taken.

    Every conclusion about at least two of these arms on this problem, from this seed of the race, is a look at the same
    data; the same finals are the same look, whatever else was asked. Without a storage each is the first.

    Args:
        store: Where looks are kept.
        problem_key: What the problem is known by.
        seed: That of the race.
        arms: What those are known by who raced, in which their names have no say.
        finals: What all final runs are known by, in which the way of training has none.
    """
    own = {"arms": sorted(arms), "finals": digest(sorted(set(finals)))}
    scope, before, number = f"looks {problem_key} {seed}", 0, 0
    while True:
        name = f"look {number}"
        store.remember(scope, name, own)  # unless one is kept there
        kept = store.recall(scope, name)
        if kept in (None, own):
            return 1 + before
        before += _shares_arms(kept, arms)
        number += 1


def _shares_arms(kept: Any, arms: Sequence[str]) -> bool:
    named = kept.get("arms") if isinstance(kept, dict) else None
    return isinstance(named, list) and len(set(arms).intersection(map(str, named))) > 1
