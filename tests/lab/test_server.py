"""`fallline lab` as a process of its own: it listens, answers by HTTP, and stops when it is told to."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from typer.testing import CliRunner

from fallline.cli.main import app
from fallline.lab import server
from fallline.lab.server import address_of, listen


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
            _, errors = process.communicate(timeout=30)
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
            with socket.create_connection((host, int(port)), timeout=10) as connection:
                connection.sendall(raw)
                assert connection.recv(100).split()[1] in (b"400", b"403")
        # A body that is longer than it says, and one that never ends.
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(
                f"POST /api/code HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
                "Transfer-Encoding: chunked\r\n\r\n".encode()
            )
            for _ in range(5):
                connection.sendall(b"4000\r\n" + b" " * 0x4000 + b"\r\n")
            assert connection.recv(100).split()[1] == b"413"
        assert ask(link, "/api/races") == (200, b'{"races":[]}')


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
