"""What a race asks of its storage, and goes on without where that fails."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from fallline._text import counted
from fallline.racing.runs import Outcome, Run
from fallline.racing.storage.store import Keyed, Store

#: A storage that failed is left alone for so many times as long as it took to fail: a lock takes a minute.
_PATIENCE = 10
#: How a sentence begins that says what is lost.
NOT_KEPT = "Not every run of this race is kept: "
Found = TypeVar("Found")


class Lasting:
    """The store of a race that goes on, and ends, where its storage fails: what could not be kept waits in memory.

    It is tried again whenever something more is to be kept, and by `told`. `trouble` is what the storage said last,
    None while all is kept. `tell` gets a sentence when that begins. With None in place of a store nothing is kept.
    """

    def __init__(self, store: Store | None, tell: Callable[[str], object]) -> None:
        self.name = None if store is None else store.name
        self.where = None if store is None else store.where
        self.trouble: str | None = None
        self._store, self._tell = store, tell
        self._waiting: deque[Callable[[Store], object]] = deque()
        self._not_before = 0.0

    def there(self, keys: Sequence[str]) -> set[str]:
        """Those of these keys whose runs are kept; none where the storage does not say."""
        return self._asked(lambda store: store.there(keys), set[str]())

    def read(self, keys: Sequence[str]) -> dict[str, Outcome]:
        """What the runs of these keys came to, of those that are kept; none where the storage does not say."""
        return self._asked(lambda store: store.read(keys), dict[str, Outcome]())

    def ask(self, stage: str, keys: Keyed) -> None:
        """Note that the race had these runs, now or later."""
        self._later(lambda store: store.ask(stage, keys))

    def add(self, stage: str, keys: Keyed, runs: Mapping[int, Run], outcomes: Mapping[int, Outcome]) -> None:
        """Keep finished runs of a stage, now or later."""
        self._later(lambda store: store.add(stage, keys, runs, outcomes))

    def recall(self, scope: str, name: str) -> Any | None:
        """A fact that was kept, or None; None as well where the storage does not say."""
        return self._asked(lambda store: store.recall(scope, name), None)

    def remember(self, scope: str, name: str, value: Any) -> None:
        """Keep a fact, unless one is kept, now or later."""
        self._later(lambda store: store.remember(scope, name, value))

    def answer(self, result: Mapping[str, Any]) -> None:
        """Keep what the race concludes, now or later."""
        self._later(lambda store: store.answer(result))

    def told(self) -> tuple[str, ...]:
        """After a last try, a sentence where not all is kept."""
        self._not_before = 0.0
        self._keep()
        if self.trouble is None:
            self._tried(self._check)
        if self.trouble is None:
            return ()
        return (f"{NOT_KEPT}{self.trouble}. The result stands here all the same; write it to a file to keep it.",)

    def close(self) -> None:
        """Let go of the storage, after a last try to keep what waits."""
        self._keep()
        self._tried(lambda store: store.close())

    def _check(self, store: Store) -> None:
        """Raise OSError where what was kept is not there: a file may have gone since, or have been written to."""
        if lost := store.lost():
            raise OSError(f"{counted(lost, 'run')} can't be read back from the storage {self.where}")

    def _asked(self, find: Callable[[Store], Found], otherwise: Found) -> Found:
        found = [otherwise]
        if time.monotonic() >= self._not_before:
            self._tried(lambda store: found.append(find(store)))
        return found[-1]

    def _later(self, work: Callable[[Store], object]) -> None:
        self._waiting.append(work)
        self._keep()

    def _keep(self) -> None:
        if time.monotonic() < self._not_before:
            return
        while self._waiting:
            work = self._waiting.popleft()
            if not self._tried(work):
                self._waiting.appendleft(work)
                return
        self.trouble = None

    def _tried(self, work: Callable[[Store], object]) -> bool:
        if self._store is None:
            return True
        begun = time.monotonic()
        try:
            work(self._store)
        except OSError as error:
            if self.trouble is None:
                self._tell(f"{str(error)[:1].upper()}{str(error)[1:]}; the race goes on, and its result is shown here.")
            self.trouble = str(error)
            self._not_before = time.monotonic() + _PATIENCE * (time.monotonic() - begun)
            return False
        return True
