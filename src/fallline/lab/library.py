"""Everything of Fallline that needs torch, imported beside the server so that the page is there at once."""

from __future__ import annotations

import asyncio
import gc
import importlib
from concurrent.futures import Future
from threading import Lock, Thread

from fallline.lab.errors import RequestError

_MODULES = ("catalogue", "picture", "code", "tabs")


class Library:
    """Imports itself once, in a thread that nobody waits for at the end."""

    def __init__(self) -> None:
        self._there: Future[None] | None = None
        self._lock = Lock()

    def begin(self) -> Future[None]:
        """Begin to import, if that has not begun; the future is done when all is there."""
        with self._lock:
            if self._there is None:
                self._there = Future()
                Thread(target=_import, args=(self._there,), daemon=True).start()
        return self._there

    async def ready(self) -> None:
        """Wait until all is there; raises RequestError if it can't be imported."""
        try:
            await asyncio.shield(asyncio.wrap_future(self.begin()))
        except ImportError as error:
            raise RequestError(500, f"The lab can't compute, as a package can't be imported: {error}.") from error


def _import(there: Future[None]) -> None:
    try:
        for name in _MODULES:
            importlib.import_module(f"fallline.lab.{name}")
    except BaseException as error:
        there.set_exception(error)
    else:
        there.set_result(None)
        _warm_up()
        # What is there by now stays. Python would search it for garbage again and again, for 0.2 s each time.
        gc.collect()
        gc.freeze()


def _warm_up() -> None:
    """Walk once, so that Numba is there and the first picture's rules are compiled before they are asked for."""
    from fallline.lab.descent import read_descent
    from fallline.lab.fields import Fields
    from fallline.lab.picture import picture
    from fallline.lab.presets import PRESETS
    from fallline.lab.work import Ticket

    picture(read_descent(Fields(PRESETS[0]["state"])), Ticket())
