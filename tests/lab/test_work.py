"""Computations beside the server: the newest wins, time is up some day, and there is a limit to how many run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from fallline.lab import library, work
from fallline.lab.errors import RequestError
from fallline.lab.work import AT_ONCE, Ticket, Workshop


def until_stopped(started: threading.Event) -> Callable[[Ticket], None]:
    def compute(ticket: Ticket) -> None:
        while True:
            started.set()
            ticket.check()

    return compute


async def status_of(result: asyncio.Future[Any]) -> int:
    with pytest.raises(RequestError) as caught:
        await result
    return caught.value.status


def test_the_newest_of_a_client_wins() -> None:
    async def both() -> tuple[int, str]:
        shop, started = Workshop(), threading.Event()
        older = asyncio.ensure_future(shop.run("a", until_stopped(started)))
        await asyncio.to_thread(started.wait)
        newer = await shop.run("a", lambda ticket: "done")
        return await status_of(older), newer

    assert asyncio.run(both()) == (409, "done")


def test_other_clients_go_on() -> None:
    async def both() -> list[str]:
        shop, gate = Workshop(), threading.Event()

        def wait(ticket: Ticket) -> str:
            gate.wait()
            ticket.check()
            return "done"

        other = asyncio.ensure_future(shop.run("a", wait))
        mine = await shop.run("b", lambda ticket: "done")
        gate.set()
        return [await other, mine]

    assert asyncio.run(both()) == ["done", "done"]


def test_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "SECONDS", 0.05)

    async def alone() -> int:
        return await status_of(asyncio.ensure_future(Workshop().run("a", until_stopped(threading.Event()))))

    assert asyncio.run(alone()) == 422


def test_an_answer_does_not_wait_for_what_never_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "SECONDS", -0.95)
    gate = threading.Event()

    async def alone() -> int:
        return await status_of(asyncio.ensure_future(Workshop().run("a", lambda ticket: gate.wait())))

    assert asyncio.run(alone()) == 422
    gate.set()


def test_too_many_at_once() -> None:
    async def many() -> tuple[int, str]:
        shop, gate = Workshop(), threading.Event()
        jobs = [asyncio.ensure_future(shop.run(f"{i}", lambda ticket: gate.wait())) for i in range(4 * AT_ONCE)]
        await asyncio.sleep(0)
        status = await status_of(asyncio.ensure_future(shop.run("one more", lambda ticket: None)))
        gate.set()
        await asyncio.gather(*jobs)
        return status, await shop.run("later", lambda ticket: "done")

    assert asyncio.run(many()) == (429, "done")


def test_what_can_not_be_imported_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_RACES", ("nothing",))
    with pytest.raises(RequestError, match="a package can't be imported: No module named 'nothing'"):
        asyncio.run(library.Library(races=True).ready("races"))
