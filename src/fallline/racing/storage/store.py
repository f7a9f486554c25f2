"""What a race asks of the place that keeps its runs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from fallline.racing.runs import Outcome, Run
from fallline.racing.storage.claim import TakenOverError

#: A storage that failed is left alone for so many times as long as it took to fail: a lock takes a minute.
_PATIENCE = 10


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


class Lasting:
    """A store for a race that goes on, and ends, where its storage fails: what could not be kept waits in memory.

    It is tried again whenever something more is to be kept, and by `told`. `trouble` is what the storage said last,
    None while all is kept. `tell` gets a sentence when that begins.
    """

    def __init__(self, store: Store, tell: Callable[[str], object]) -> None:
        self.name, self.where, self.resumed, self.kept = store.name, store.where, store.resumed, store.kept
        self.trouble: str | None = None
        self._store, self._tell = store, tell
        self._waiting: deque[Callable[[], object]] = deque()
        self._not_before = 0.0

    def outcomes(self, stage: str) -> Mapping[int, Outcome]:
        """The runs of a stage that have been kept."""
        return self._store.outcomes(stage)

    def add(self, stage: str, runs: Mapping[int, Run], outcomes: Mapping[int, Outcome]) -> None:
        """Keep finished runs of a stage, by their numbers, now or later."""
        self._waiting.append(lambda: self._store.add(stage, runs, outcomes))
        self._keep()

    def recall(self, fact: str) -> Any | None:
        """A fact that was kept, or None; None as well where the storage does not say."""
        found: list[Any] = [None]
        self._tried(lambda: found.append(self._store.recall(fact)))
        return found[-1]

    def remember(self, fact: str, value: Any) -> None:
        """Keep a fact, now or later: plain data, as JSON holds it."""
        self._waiting.append(lambda: self._store.remember(fact, value))
        self._keep()

    def told(self) -> tuple[str, ...]:
        """After a last try, a sentence where not all is kept."""
        self._not_before = 0.0
        try:
            self._keep()
            self._tried(lambda: self._store.recall("plan"))  # it may have gone since
        except TakenOverError as error:
            self.trouble = str(error)
        if self.trouble is None:
            return ()
        return (
            f"Not every run of this race is kept: {self.trouble}. The result stands here all the same; "
            "write it to a file to keep it.",
        )

    def close(self) -> None:
        """Let go of the race, so that any process may take it up."""
        self._tried(self._store.close)

    def _keep(self) -> None:
        if time.monotonic() < self._not_before:
            return
        begun = time.monotonic()
        while self._waiting:
            work = self._waiting.popleft()
            if not self._tried(work):
                self._waiting.appendleft(work)
                self._not_before = time.monotonic() + _PATIENCE * (time.monotonic() - begun)
                return
        self.trouble = None

    def _tried(self, work: Callable[[], object]) -> bool:
        try:
            work()
        except TakenOverError:
            raise
        except OSError as error:
            if self.trouble is None:
                self._tell(f"{str(error)[:1].upper()}{str(error)[1:]}; the race goes on, and its result is shown here.")
            self.trouble = str(error)
            return False
        return True
