"""Computations beside the server: a few at once, each within its time, of one client's only the newest."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from fallline.lab.errors import RequestError

SECONDS, AT_ONCE = 10.0, 4
_TOO_LONG = f"This took longer than {SECONDS:g} s and was stopped; ask for fewer steps or fewer optimizers."
Result = TypeVar("Result")


class Ticket:
    """A computation's leave to go on: it calls `check` now and then, which raises RequestError once it must stop."""

    def __init__(self) -> None:
        self.superseded = False
        self._deadline = time.monotonic() + SECONDS

    def check(self) -> None:
        """Raise RequestError if a newer request came, or time is up."""
        if self.superseded:
            raise RequestError(409, "A newer request took this one's place.")
        if time.monotonic() > self._deadline:
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
        try:
            # The thread goes on to its next check; the answer does not wait for that.
            return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(job)), SECONDS + 1)
        except TimeoutError:
            raise RequestError(422, _TOO_LONG) from None

    def _ended(self, client: str, ticket: Ticket) -> None:
        self._running -= 1
        if self._newest.get(client) is ticket:
            del self._newest[client]
