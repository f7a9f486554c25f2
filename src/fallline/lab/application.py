"""The lab's addresses and what each of them answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import PurePath
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from fallline.lab.guard import Address, Guard
from fallline.lab.library import Library
from fallline.lab.requests import RequestError, answer, read_fields, refused
from fallline.lab.work import Workshop

if TYPE_CHECKING:
    from fallline.lab.races import LiveRace

#: Kinds of the page's files by the ends of their names.
_KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_TABS = ("ema", "batch", "schedules", "initialisation", "minima")
#: What computes the answers to requests with fields, imported when it is first asked for.
_COMPUTED = {
    "/api/descent": "fallline.lab.picture:picture",
    "/api/code": "fallline.lab.picture:code",
    **{f"/api/tab/{name}": f"fallline.lab.experiments:{name}" for name in _TABS},
}
_STREAMS, _SECONDS_BETWEEN_READINGS = 8, 0.5
_SENTENCES = {
    404: "There is nothing at this address; the page is at /.",
    405: "This address is not asked that way; pictures, tabs and code are asked by POST, the rest by GET.",
}


class Lab:
    """Answers requests. `storage` holds the races to be seen live, if any; `stopping` says when to end a stream."""

    def __init__(self, storage: str | None, stopping: Callable[[], bool]) -> None:
        self._storage, self._stopping = storage, stopping
        self._library, self._workshop = Library(races=storage is not None), Workshop()
        self._streams = 0

    def routes(self) -> list[Route]:
        """All addresses."""
        return [
            *_page(),
            Route("/player.js", self.player),
            Route("/player.css", self.player),
            Route("/api/catalogue", self.catalogue),
            *(Route(address, self.computed, methods=["POST"]) for address in _COMPUTED),
            Route("/api/races", self.races),
            Route("/api/live", self.live),
        ]

    @asynccontextmanager
    async def lifespan(self, application: Starlette) -> AsyncIterator[None]:
        """Import while the page is on its way already."""
        self._library.begin()
        yield

    async def player(self, request: Request) -> Response:
        """The player's script, or its stylesheet."""
        await self._library.ready("player")
        from fallline.pages.player import script, stylesheet

        ending = PurePath(request.scope["path"]).suffix
        return Response({".js": script, ".css": stylesheet}[ending](), media_type=_KINDS[ending])

    async def catalogue(self, request: Request) -> Response:
        """What there is to choose from."""
        await self._library.ready("pictures")
        from fallline.lab.catalogue import catalogue

        return answer(catalogue())

    async def computed(self, request: Request) -> Response:
        """A picture, its program or a tab. Of one client's requests to one only the newest is computed to its end."""
        fields = await read_fields(request)
        await self._library.ready("pictures")
        address = request.scope["path"]
        client = f"{request.client.host if request.client else ''} {address}"
        return await self._workshop.run(client, lambda ticket: answer(resolve_name(_COMPUTED[address])(fields, ticket)))

    async def races(self, request: Request) -> Response:
        """The races that can be seen: {races}."""
        if self._storage is None:
            return answer({"races": []})
        await self._library.ready("races")
        from fallline.lab import races

        return answer({"races": await run_in_threadpool(races.races, self._storage)})

    async def live(self, request: Request) -> Response:
        """A race as it runs, as server-sent events, until it has finished."""
        name = request.query_params.get("race")
        if name is None:
            raise RequestError(400, "Say which race, as in /api/live?race=NAME; /api/races lists them.")
        if self._storage is None:
            raise RequestError(404, "The lab sees no races; start it with --storage and the file that keeps them.")
        if self._streams >= _STREAMS:
            raise RequestError(429, f"{_STREAMS} pages look at races already; close one of them.")
        self._streams += 1  # at once: others may ask while this one waits
        try:
            await self._library.ready("races")
            from fallline.lab.races import LiveRace

            race = await run_in_threadpool(LiveRace, self._storage, name)
        except BaseException:
            self._streams -= 1
            raise
        return StreamingResponse(self._events(race), media_type="text/event-stream")

    async def _events(self, race: LiveRace) -> AsyncIterator[str]:
        before = None
        try:
            while not self._stopping() and (before is None or not before["finished"]):
                now = await run_in_threadpool(race.read)
                # A comment keeps the connection, and finds out whether anybody still listens.
                yield ":\n\n" if now == before else f"data: {json.dumps(now, allow_nan=False)}\n\n"
                before = now
                await asyncio.sleep(_SECONDS_BETWEEN_READINGS)
        except RequestError as error:
            yield f"event: error\ndata: {json.dumps({'error': error.sentence})}\n\n"
        finally:
            self._streams -= 1
            race.close()


def application(address: Address, storage: str | None = None, stopping: Callable[[], bool] = lambda: False) -> Guard:
    """The lab as an ASGI application that answers at an address, and only by its name; the rest is as for `Lab`."""
    lab = Lab(storage, stopping)
    handlers: dict[Any, Callable[[Request, Any], Awaitable[Response]]] = {
        RequestError: _refused,
        HTTPException: _no_such_address,
        Exception: _failed,
    }
    return Guard(Starlette(routes=lab.routes(), lifespan=lab.lifespan, exception_handlers=handlers), address)


async def _refused(request: Request, error: RequestError) -> Response:
    return refused(error)


async def _no_such_address(request: Request, error: HTTPException) -> Response:
    sentence = _SENTENCES.get(error.status_code, "The request can't be read.")
    return refused(RequestError(error.status_code, sentence))


async def _failed(request: Request, error: Exception) -> Response:
    return refused(RequestError(500, "The lab failed on this; the terminal that it runs in says why."))


def _page() -> Iterator[Route]:
    """The page's own files, each by its name, and the page itself at the root."""
    for file in (files("fallline.lab") / "page").iterdir():
        kind = _KINDS.get(PurePath(file.name).suffix)
        if kind is not None:
            yield Route("/" if file.name == "index.html" else f"/{file.name}", _file(file, kind))


def _file(file: Traversable, kind: str) -> Callable[[Request], Response]:
    return lambda request: Response(file.read_bytes(), media_type=kind)
