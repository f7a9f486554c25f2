"""One connection of the server: a client that keeps it waiting loses it, so that nobody can shut the others out."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

#: Connections that wait for their clients at once; one more takes the place of that which has waited longest.
MOST = 64
#: Seconds in which a client must have sent the rest of a request, or have taken some of an answer.
PATIENCE = 15.0


class Connection(H11Protocol):
    """HTTP over one connection. It waits for its client unless a whole request is being answered and the answer read.

    uvicorn itself gives a client all the time in the world to send a request, and refuses others meanwhile.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._waits: asyncio.TimerHandle | None = None
        self._since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request."""
        super().connection_made(transport)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        super().connection_lost(exc)
        self._stop()

    def data_received(self, data: bytes) -> None:
        """Go on to wait, or not, after some of a request."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._look()

    def pause_writing(self) -> None:
        """Wait until the client takes some of the answer."""
        super().pause_writing()
        self._look()

    def resume_writing(self) -> None:
        """Go on with the answer."""
        super().resume_writing()
        self._look()

    def _look(self) -> None:
        """Begin to wait, in place of another where too many do, or stop."""
        answering = self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body
        if answering and not self.flow.write_paused:
            self._stop()
        elif self._waits is None and not self.transport.is_closing():
            waiting = [one for one in self.connections if isinstance(one, Connection) and one._waits is not None]
            if len(waiting) >= MOST:
                min(waiting, key=lambda one: one._since)._leave()
            self._since = self.loop.time()
            self._waits = self.loop.call_later(PATIENCE, self._leave)

    def _leave(self) -> None:
        self._stop()
        self.transport.abort()

    def _stop(self) -> None:
        if self._waits is not None:
            self._waits.cancel()
        self._waits = None
