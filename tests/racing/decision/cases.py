"""Arms made up for tests: even trials on one line, with a best place, and runs that differ by chance alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from fallline.racing.decision import Entrant, fixed
from fallline.racing.decision.records import Floats


def searched(
    name: str,
    level: float,
    rng: np.random.Generator,
    *,
    noise: float = 0.01,
    seeds: int = 10,
    examples: int = 0,
    trials: int = 16,
    finalists: int = 5,
    **rest: Any,
) -> Entrant:
    """An arm of losses, `level` at the best place."""
    places = (np.arange(trials) + 0.5) / trials
    quality = level + 0.5 * (places - 0.6) ** 2
    scores = quality + noise * rng.standard_normal(trials)
    finals = np.argsort(scores)[:finalists]
    run, own = noise * rng.standard_normal((2, finalists, seeds))
    test = quality[finals][:, None] + run
    validation = test + own / 2
    shares = None
    if examples:
        shares = test[..., None] + noise * rng.standard_normal((finalists, seeds, examples))
        test = shares.mean(axis=2)
    configurations = [{"lr": float(10.0 ** (4 * place - 4))} for place in places]
    return Entrant(
        name, scores, finals, validation, test, shares, places=places, configurations=configurations, **rest
    )  # fmt: skip


def given(name: str, losses: Floats, **rest: Any) -> Entrant:
    """An arm of one configuration, whose validation is its test."""
    return fixed(name, losses, losses, **rest)
