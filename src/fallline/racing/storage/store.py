"""What a race asks of the place that keeps its runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from fallline.racing.runs import Outcome, Run


class Store(Protocol):
    """Keeps one race: its runs' outcomes, each under its stage and number there, and facts by name, as plain data."""

    #: The race's name, and the storage that holds it; None where nothing is kept.
    name: str | None
    where: str | None
    #: Whether an earlier process began this race, and how many of its runs were there when it was taken up.
    resumed: bool
    kept: int

    def outcomes(self, stage: str) -> Mapping[int, Outcome]:
        """The runs of a stage that have been kept."""

    def add(self, stage: str, runs: Mapping[int, Run], outcomes: Mapping[int, Outcome]) -> None:
        """Keep finished runs of a stage, by their numbers: all of them or, if this process dies, none."""

    def recall(self, fact: str) -> Any | None:
        """A fact that was kept, or None."""

    def remember(self, fact: str, value: Any) -> None:
        """Keep a fact: plain data, as JSON holds it."""

    def close(self) -> None:
        """Let go of the race, so that any process may take it up."""


class Forgetful:
    """Keeps nothing."""

    name: str | None = None
    where: str | None = None
    resumed = False
    kept = 0

    def outcomes(self, stage: str) -> Mapping[int, Outcome]:
        """None."""
        return {}

    def add(self, stage: str, runs: Mapping[int, Run], outcomes: Mapping[int, Outcome]) -> None:
        """Let them go."""

    def recall(self, fact: str) -> Any | None:
        """Know nothing."""
        return None

    def remember(self, fact: str, value: Any) -> None:
        """Forget at once."""

    def close(self) -> None:
        """Nothing is held."""
