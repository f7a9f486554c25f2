"""Computations beside the server: the newest wins, time is up some day, and there is a limit to how many run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from fallline.lab import descent, library, work
from fallline.lab.requests import Fields, RequestError
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


def test_compiling_takes_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in a request, whose answer waits for it, nor before the first one."""
    now = [0.0]
    monkeypatch.setattr(work, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(work, "SECONDS", -0.95)  # so that an answer waits for 0.05 s of a clock that stands still

    def compute(ticket: Ticket) -> float:
        with ticket.untimed():
            now[0] += 100
        return ticket.left

    assert asyncio.run(Workshop().run("a", compute)) == -0.95


def test_the_first_step_of_a_rule_takes_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now, steps = [0.0], []
    taken = descent._path

    def slow(asked: descent.Descent, walker: Any) -> Any:
        steps.append(asked.steps)
        now[0] += 100 if asked.steps == 1 else 1
        return taken(asked, walker)

    monkeypatch.setattr(work, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(descent, "_path", slow)
    monkeypatch.setattr(descent, "_compiled", set())
    asked = descent.read_descent(Fields({"surface": "ravine", "steps": 7, "optimizers": [{"rule": "adam", "lr": 0.1}]}))
    ticket = Ticket(2.5)
    for _ in range(2):
        descent.walk(asked, asked.walkers[0], ticket)
    assert (steps, ticket.left) == ([1, 7, 7], 0.5)


def test_the_first_picture_has_all_the_time_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "SECONDS", -1.0)
    asyncio.run(library.Library(races=False).ready("pictures"))


def test_what_failed_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def fails_at_first() -> None:
        tried.append(1)
        if len(tried) == 1:
            raise MemoryError

    monkeypatch.setattr(library, "_prepare_player", lambda: None)
    monkeypatch.setattr(library, "_prepare_pictures", fails_at_first)
    books = library.Library(races=False)
    with pytest.raises(MemoryError):
        asyncio.run(books.ready("pictures"))
    books._thread.join()  # type: ignore[union-attr]
    for _ in range(2):
        asyncio.run(books.ready("pictures"))
    assert len(tried) == 2


def test_what_can_not_be_imported_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_RACES", ("nothing",))
    with pytest.raises(RequestError, match="a package can't be imported: No module named 'nothing'"):
        asyncio.run(library.Library(races=True).ready("races"))
