"""Computations beside the server: a few at once, each within its time, of one client's only the newest."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from fallline.lab.requests import RequestError

SECONDS, AT_ONCE = 10.0, 4
_TOO_LONG = f"This took longer than {SECONDS:g} s and was stopped; ask for fewer steps or fewer optimizers."
Result = TypeVar("Result")


class Ticket:
    """A computation's leave to go on: it calls `check` now and then, which raises RequestError once it must stop.

    It has `seconds` of its own, or as long as a request's computation has. What a machine does once, such as compiling,
    does not count.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self.superseded = False
        self._left, self._began = SECONDS if seconds is None else seconds, time.monotonic()
        self._counting = True

    @property
    def left(self) -> float:
        """The seconds that are left."""
        return self._left - (time.monotonic() - self._began if self._counting else 0.0)

    @contextmanager
    def untimed(self) -> Iterator[None]:
        """What is done inside takes no time."""
        self._left, self._counting = self.left, False
        try:
            yield
        finally:
            self._began, self._counting = time.monotonic(), True

    def check(self) -> None:
        """Raise RequestError if a newer request came, or time is up."""
        if self.superseded:
            raise RequestError(409, "A newer request took this one's place.")
        if self.left < 0:
            raise RequestError(422, _TOO_LONG)


class Workshop:
    """Runs computations in threads. A client is whatever text tells one from another."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(AT_ONCE, "lab")
        self._newest: dict[str, Ticket] = {}
        self._running = 0

    async def run(self, client: str, compute: Callable[[Ticket], Result]) -> Result:
        """What a computation returns; raises RequestError where it does, too much is running, or it takes too long."""
        if client in self._newest:
            self._newest[client].superseded = True
        if self._running >= 4 * AT_ONCE:
            raise RequestError(429, "Too much is being computed at this moment; try again in a second.")
        ticket = self._newest[client] = Ticket()
        self._running += 1
        job = self._threads.submit(compute, ticket)
        loop = asyncio.get_running_loop()
        job.add_done_callback(lambda _: loop.call_soon_threadsafe(self._ended, client, ticket))
        answer = asyncio.wrap_future(job)
        while not answer.done():
            # The thread goes on to its next check; the answer does not wait for that.
            if (patience := ticket.left + 1) <= 0:
                answer.add_done_callback(lambda late: late.exception())  # which nobody else will ask for
                raise RequestError(422, _TOO_LONG)
            await asyncio.wait([answer], timeout=patience)
        return answer.result()

    def _ended(self, client: str, ticket: Ticket) -> None:
        self._running -= 1
        if self._newest.get(client) is ticket:
            del self._newest[client]
