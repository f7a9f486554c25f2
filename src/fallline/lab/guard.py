"""What stands before every request: who may ask, by which name, and what the answers allow a browser to do."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fallline.lab.requests import RequestError, refused

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: blob:; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_HTTP = 80


@dataclass(frozen=True)
class Address:
    """Where the lab listens: `host` as it was given and `port` as it is. `token` is None on loopback."""

    host: str
    port: int
    token: str | None = None

    @property
    def link(self) -> str:
        """What to open in a browser."""
        name = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(self.host, self.host)
        root = f"http://{f'[{name}]' if ':' in name else name}:{self.port}/"
        return root if self.token is None else f"{root}?token={self.token}"

    @property
    def cookie(self) -> str:
        """The name of the cookie that holds the token: browsers keep one jar for all ports of a host."""
        return f"fallline-lab-{self.port}"

    def answers_to(self, host: str) -> bool:
        """Whether a Host header names this address, and not one that somebody else's name was pointed at it by.

        >>> lab = Address("127.0.0.1", 8765)
        >>> lab.answers_to("localhost:8765"), lab.answers_to("localhost"), lab.answers_to("evil.example:8765")
        (True, False, False)
        """
        name, colon, port = host.lower().rpartition(":")
        if not colon or host.endswith("]"):
            name, port = host.lower(), str(_HTTP)
        if port != str(self.port):
            return False
        name = name.removeprefix("[").removesuffix("]") if ":" in name else name
        if _is_loopback(self.host):
            return name in ("localhost", "127.0.0.1", "::1")
        if self.host in ("0.0.0.0", "::"):
            # A number can't be pointed anywhere else, a name can: but for this machine's own.
            return _is_number(name) or name in ("localhost", socket.gethostname().lower())
        return name == self.host.lower()


class Guard:
    """Lets requests to the application through that may be answered, and sets the headers of every answer."""

    def __init__(self, application: ASGIApp, address: Address) -> None:
        self._application, self._address = application, address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as ASGI has it."""
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
        elif scope["type"] == "http":
            answer = self._application
            try:
                answer = self._checked(scope) or answer
            except RequestError as error:
                answer = refused(error)
            await answer(scope, receive, _with_headers(send))

    def _checked(self, scope: Scope) -> Response | None:
        """None for a request that may go on, or the answer to one that brings its token."""
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._address.answers_to(hosts[0]):
            raise RequestError(403, "The lab is not called by that name; open the link that `fallline lab` printed.")
        if any(origin != f"http://{hosts[0]}" for origin in headers.getlist("origin")):
            raise RequestError(403, "Another site may not ask the lab; open the link that `fallline lab` printed.")
        if self._address.token is None or self._is_token(_cookie(headers, self._address.cookie)):
            return None
        query = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=None)
        if scope["method"] == "GET" and scope["path"] == "/" and self._is_token(query.get("token", [""])[0]):
            welcome = RedirectResponse("/", 303)
            welcome.set_cookie(self._address.cookie, str(self._address.token), httponly=True, samesite="strict")
            return welcome
        raise RequestError(403, "The token is missing or wrong; open the link that `fallline lab` printed.")

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), str(self._address.token).encode())


def _cookie(headers: Headers, name: str) -> str:
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    return cookies[name].value if name in cookies else ""


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(HEADERS)
        await send(message)

    return send_with_headers


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_number(host) and ipaddress.ip_address(host).is_loopback)
