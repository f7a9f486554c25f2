"""Starting the lab: an address to listen at, the browser, and the server until it is stopped."""

from __future__ import annotations

import ipaddress
import os
import secrets
import socket
import webbrowser
from collections.abc import Callable
from threading import Thread

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
    from fallline.lab.connection import Connection

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
