"""Everything of Fallline that needs torch, imported beside the server so that the page is there at once.

One thread imports it all: where two import parts of a package at the same time, Python hands out modules that are half
made rather than let them wait for each other.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import math
from collections.abc import Sequence
from concurrent.futures import Future
from threading import Thread
from typing import Literal

from fallline.lab.requests import RequestError

Stage = Literal["player", "pictures", "races"]
_RACES = ("fallline.lab.races", "fallline.racing.storage.races", "sqlalchemy")


class Library:
    """Imports itself once, stage by stage, in a thread that nobody waits for at the end; races only if asked for.

    A stage that failed is tried again when it is next asked for.
    """

    def __init__(self, *, races: bool) -> None:
        self._stages: dict[Stage, Future[None]] = {"player": Future(), "pictures": Future()}
        if races:
            self._stages["races"] = Future()
        self._thread: Thread | None = None

    def begin(self) -> None:
        """Begin to import what is not there, if nobody does."""
        if self._thread is not None and self._thread.is_alive():
            return
        left = [stage for stage, future in self._stages.items() if not future.done() or future.exception()]
        if left:
            self._stages |= {stage: Future() for stage in left}
            self._thread = Thread(target=self._import, args=(left,), daemon=True)
            self._thread.start()

    async def ready(self, stage: Stage) -> None:
        """Wait until a stage is there; raises RequestError if it can't be imported."""
        self.begin()
        try:
            await asyncio.shield(asyncio.wrap_future(self._stages[stage]))
        except ImportError as error:
            raise RequestError(500, f"The lab can't do this, as a package can't be imported: {error}.") from error

    def _import(self, stages: Sequence[Stage]) -> None:
        prepare = {"player": _prepare_player, "pictures": _prepare_pictures, "races": _prepare_races}
        for stage in stages:
            try:
                prepare[stage]()
            except BaseException as error:
                self._stages[stage].set_exception(error)
            else:
                self._stages[stage].set_result(None)


def _prepare_player() -> None:
    importlib.import_module("fallline.pages.player")


def _prepare_pictures() -> None:
    """Draw a picture, so that all that is imported on the way, Numba above all, is there before it is asked for."""
    from fallline.lab.catalogue import catalogue
    from fallline.lab.picture import picture
    from fallline.lab.presets import PRESETS
    from fallline.lab.requests import Fields
    from fallline.lab.work import Ticket

    catalogue()
    picture(Fields(PRESETS[0]["state"]), Ticket(math.inf))  # however long a machine takes to compile
    # What is there by now stays. Python would search it for garbage again and again, for 0.2 s each time.
    gc.collect()
    gc.freeze()


def _prepare_races() -> None:
    for name in _RACES:
        importlib.import_module(name)
