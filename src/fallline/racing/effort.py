"""How much a race may spend: the same for every arm."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """Trials of each arm, how many of its best configurations run finals, on how many fresh seeds."""

    trials: int
    finalists: int
    seeds: int
    names_winner: bool = True


EFFORTS = {
    "quick": Effort(trials=8, finalists=1, seeds=5, names_winner=False),
    "standard": Effort(trials=16, finalists=5, seeds=10),
    "thorough": Effort(trials=48, finalists=8, seeds=12),
}


def as_effort(effort: str | Effort) -> Effort:
    """An effort by name, or as it is.

    >>> as_effort("standard")
    Effort(trials=16, finalists=5, seeds=10, names_winner=True)
    """
    if isinstance(effort, str):
        if effort not in EFFORTS:
            raise ValueError(f"effort must be one of {', '.join(EFFORTS)}; got '{effort}'")
        return EFFORTS[effort]
    for name in ("trials", "finalists", "seeds"):
        value = getattr(effort, name)
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} of an effort must be a whole number from 1; got {value!r}")
    if effort.finalists > effort.trials:
        raise ValueError(f"an effort of {effort.trials} trials can't have {effort.finalists} finalists; give fewer")
    return effort
