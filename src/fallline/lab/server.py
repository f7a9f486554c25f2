"""Starting the lab: an address, the browser, and a server that drops clients which keep it waiting."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import secrets
import socket
import webbrowser
from collections.abc import Callable
from threading import Thread
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from fallline.lab.guard import Address

PORT = 8765


def serve(
    host: str = "127.0.0.1",
    port: int = PORT,
    *,
    storage: str | None = None,
    browser: bool = True,
    tell: Callable[[str], None] = print,
) -> None:
    """Serve the lab's page until the process is interrupted; `tell` is given the link once the lab listens.

    Anywhere but on loopback the link carries a token, without which nothing is answered. Port 0 takes any free one.
    Raises OSError, in a sentence, where it can't listen.
    """
    import uvicorn

    from fallline.lab.application import application

    # Many small computations side by side: threads within each would only wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with listen(host, port) as listening:
        address = address_of(host, listening)
        tell(address.link)
        if browser:
            Thread(target=webbrowser.open, args=(address.link,), daemon=True).start()
        config = uvicorn.Config(
            application(address, storage, lambda: running.should_exit),
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            http=Connection,
            ws="none",
            timeout_graceful_shutdown=3,
        )
        running = uvicorn.Server(config)
        running.run(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; raises OSError, in a sentence, where that can't be."""
    try:
        family, *_, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(where[:2], family=family)
    except OSError as error:
        reason = str(error.strerror or error).lower()
        raise OSError(
            f"the lab can't listen at {host}, port {port} ({reason}); give another --port or --host"
        ) from error


def address_of(host: str, listening: socket.socket) -> Address:
    """The address of a socket, with a token unless it can be reached from this machine alone.

    >>> with listen("127.0.0.1", 0) as listening:
    ...     address_of("127.0.0.1", listening).token is None
    True
    """
    where, port = listening.getsockname()[:2]
    return Address(host, port, None if ipaddress.ip_address(where).is_loopback else secrets.token_urlsafe(24))


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
