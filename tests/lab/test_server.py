"""`fallline lab` as a process of its own: it listens, answers by HTTP, and stops when it is told to."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
import uvicorn
from typer.testing import CliRunner

from fallline.cli.main import app
from fallline.lab import server
from fallline.lab.server import Connection, address_of, listen

HALF = "GET / HTTP/1.1\r\nHost: {host}\r\n"
HALF_A_BODY = "POST /api/code HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{{"
A_SECOND_HALF = "GET /lab.css HTTP/1.1\r\nHost: {host}\r\n\r\n" + HALF
HALVES = {"nothing": "", "half a head": HALF, "half a body": HALF_A_BODY, "half a second request": A_SECOND_HALF}


@contextmanager
def running(*options: str) -> Iterator[str]:
    """The link of a lab in a process of its own, which is stopped afterwards."""
    command = [sys.executable, "-m", "fallline", "lab", "--port", "0", "--no-browser", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().removeprefix("The lab is at ").strip()
        finally:
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (130, "")


def ask(link: str, address: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        link.rstrip("/") + address, content, {"Content-Type": "application/json", **headers}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_a_lab_of_its_own() -> None:
    with running() as link:
        host, port = link.removeprefix("http://").rstrip("/").split(":")
        status, _ = ask(link, "/api/catalogue")
        assert status == 200
        status, content = ask(link, "/api/descent", {"surface": "ravine", "optimizers": [{"rule": "adam", "lr": 0.2}]})
        assert json.loads(content)["scene"]["trajectories"][0]["outcome"] == "reached (0, 0) at step 77"
        assert ask(link, "/api/races", Host="evil.example")[0] == 403
        assert ask(link, "/api/code", {"x": "x" * 70_000})[0] == 413
        for raw in (b"\x00\xff\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n"):
            with socket.create_connection((host, int(port)), timeout=60) as connection:
                connection.sendall(raw)
                assert connection.recv(100).split()[1] in (b"400", b"403")
        # A body that is longer than it says, and one that never ends.
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(
                f"POST /api/code HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
                "Transfer-Encoding: chunked\r\n\r\n".encode()
            )
            for _ in range(5):
                connection.sendall(b"4000\r\n" + b" " * 0x4000 + b"\r\n")
            assert connection.recv(100).split()[1] == b"413"
        # Many who never send the rest of what they ask.
        with ExitStack() as until_then:
            for sent in HALVES.values():
                for _ in range(200):
                    held = until_then.enter_context(socket.create_connection((host, int(port)), timeout=60))
                    held.sendall(sent.format(host=f"{host}:{port}").encode())
                assert ask(link, "/api/races") == (200, b'{"races":[]}'), sent


@contextmanager
def serving(application: Any) -> Iterator[tuple[str, int]]:
    """Where an application is served, in this process."""
    with listen("127.0.0.1", 0) as listening:
        config = uvicorn.Config(
            application, http=Connection, log_level="error", lifespan="off", timeout_graceful_shutdown=3
        )
        running = uvicorn.Server(config)
        thread = threading.Thread(target=running.run, args=([listening],))
        thread.start()
        try:
            yield listening.getsockname()[:2]
        finally:
            running.should_exit = True
            thread.join()


@pytest.mark.parametrize("sent", HALVES.values(), ids=HALVES)
def test_whoever_keeps_the_lab_waiting_is_left(monkeypatch: pytest.MonkeyPatch, sent: str) -> None:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    monkeypatch.setattr(server, "PATIENCE", 0.2)
    with serving(answer) as where, socket.create_connection(where, timeout=60) as held:
        held.sendall(sent.format(host="x").encode())
        with suppress(ConnectionError):
            while held.recv(1000):
                pass


def test_whoever_takes_no_answer_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await receive()
        gone = asyncio.ensure_future(receive())
        while not gone.done():
            await send({"type": "http.response.body", "body": b" " * 100_000, "more_body": True})
        ended.set()

    monkeypatch.setattr(server, "PATIENCE", 0.2)
    with serving(endless) as where, socket.create_connection(where, timeout=60) as held:
        held.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert ended.wait(60)


def test_whoever_waits_for_an_answer_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, gate = threading.Event(), threading.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        asked.set()
        await asyncio.to_thread(gate.wait)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    monkeypatch.setattr(server, "MOST", 1)
    monkeypatch.setattr(server, "PATIENCE", 30.0)
    with serving(slow) as where, socket.create_connection(where, timeout=60) as held:
        held.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert asked.wait(60)
        idle, newer = (socket.create_connection(where, timeout=60) for _ in range(2))
        with idle, newer, suppress(ConnectionError):
            assert idle.recv(1) == b""  # the newer one takes its place
        gate.set()
        assert held.recv(100).split()[1] == b"204"


def test_a_port_that_is_taken() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"the lab can't listen at 127.0.0.1, port {port} .*give another --port"):
            listen("127.0.0.1", port)
        told = CliRunner().invoke(app, ["lab", "--no-browser", "--port", str(port)])
        assert (told.exit_code, "the lab can't listen" in told.stderr) == (1, True)


@pytest.mark.parametrize(("host", "guarded"), [("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True)])
def test_only_loopback_needs_no_token(host: str, guarded: bool) -> None:
    with listen(host, 0) as listening:
        address = address_of(host, listening)
        assert (address.token is not None) is guarded
        assert ("?token=" in address.link) is guarded


def test_the_browser_is_sent_to_the_link(monkeypatch: pytest.MonkeyPatch) -> None:
    opened, told = threading.Event(), list[str]()

    def browse(link: str) -> None:
        told.append(link)
        opened.set()

    monkeypatch.setattr("webbrowser.open", browse)
    monkeypatch.setattr("uvicorn.Server.run", lambda self, sockets: opened.wait(10))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    server.serve(port=0, tell=told.append)
    assert len(told) == 2
    assert told[0] == told[1]
