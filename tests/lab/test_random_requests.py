"""Ten thousand requests that nobody meant: each is answered, and none by a failure of the lab's own."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from typing import Any

from fallline.lab.application import application
from fallline.lab.guard import Address, Guard

REQUESTS, AT_ONCE = 10_000, 8
ADDRESSES = ["/", "/lab.js", "/player.css", "/api/catalogue", "/api/races", "/api/live", "/nothing", "/api/descent",
             "/api/code", "/api/tab/ema", "/api/tab/schedules", "/api/tab/initialisation"]  # fmt: skip
COMPUTING = [*["/api/code"] * 12, *["/api/tab/ema"] * 4, *["/api/tab/schedules"] * 4, "/api/descent"]
SCRAPS: list[Any] = [
    None, True, 0, 1, -1, 2, 0.1, 1e300, 10**30, "", "x", "adam", "ravine", "cosine", "x**2+y**2", "x+", "((((",
    "9**9**9", "</script><img src=x onerror=alert(1)>", "\ud800", "\x00", "é", [], [0, 1], [[-1, 1], [-1, 1]], {},
]  # fmt: skip
NAMES = ["surface", "formula", "view", "optimizers", "rule", "lr", "hyperparameters", "schedule", "name", "decay",
         "start", "steps", "noise", "seed", "rates", "conditioning", "windows", "beta1", "__proto__"]  # fmt: skip
GOOD: dict[str, Any] = {
    "surface": {"formula": "x**2+y**2", "view": [[-1, 1], [-1, 1]]},
    "steps": 2,
    "optimizers": [{"rule": "adam", "lr": 0.01, "hyperparameters": {"beta1": 0.5}, "schedule": {"name": "cosine"}}],
}


def test_ten_thousand_random_requests_are_survived() -> None:
    draws = random.Random(0)
    requests = [_request(draws) for _ in range(REQUESTS)]
    statuses = asyncio.run(_ask_all(requests))
    assert sum(statuses.values()) == REQUESTS
    assert all(status < 500 for status in statuses), statuses
    assert {200, 400, 403, 404, 405, 415, 422} <= statuses.keys()


def _request(draws: random.Random) -> tuple[dict[str, Any], list[bytes]]:
    """A scope and the parts of a body."""
    meant = draws.random() < 0.7
    path = draws.choice(COMPUTING if meant else ADDRESSES)
    if draws.random() < 0.1:
        path = "/" + "".join(chr(draws.randrange(1, 300)) for _ in range(draws.randrange(20)))
    method = "POST" if meant else draws.choice(["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "\x00"])
    headers = [(b"host", b"127.0.0.1:8765"), (b"content-type", b"application/json")]
    if draws.random() < 0.2:
        name = draws.choice([b"host", b"origin", b"content-type", b"content-length", b"cookie", b"range", b"\xff"])
        headers = [(key, value) for key, value in headers if key != name or draws.random() < 0.5]
        headers.append((name, draws.randbytes(draws.randrange(12))))
    body = json.dumps(_changed(GOOD, draws)).encode()
    if draws.random() < 0.2:
        cut = draws.randrange(len(body))
        body = body[:cut] + draws.randbytes(draws.randrange(9)) + body[cut + draws.randrange(9) :]
    middle = draws.randrange(len(body) + 1)
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode(), "root_path": "", "query_string": draws.randbytes(draws.randrange(9)),
        "headers": headers, "client": (f"127.0.0.{draws.randrange(2)}", 1), "server": ("127.0.0.1", 8765),
    }  # fmt: skip
    return scope, [body[:middle], body[middle:]]


def _changed(value: Any, draws: random.Random) -> Any:
    """Plain data with about one thing in ten replaced, left out or put in."""
    if draws.random() < 0.04:
        return draws.choice(SCRAPS)
    if isinstance(value, list):
        return [_changed(one, draws) for one in value for _ in range(draws.choice([1] * 20 + [0, 2, 13]))]
    if not isinstance(value, dict):
        return value
    kept = {key: _changed(one, draws) for key, one in value.items() if draws.random() < 0.97}
    return kept | ({draws.choice(NAMES): draws.choice(SCRAPS)} if draws.random() < 0.1 else {})


async def _ask_all(requests: list[tuple[dict[str, Any], list[bytes]]]) -> Counter[int]:
    lab, waiting = application(Address("127.0.0.1", 8765)), iter(requests)
    statuses: Counter[int] = Counter()

    async def ask_in_turn() -> None:
        for scope, body in waiting:
            statuses[await _ask(lab, scope, body)] += 1

    await asyncio.gather(*(ask_in_turn() for _ in range(AT_ONCE)))
    return statuses


async def _ask(lab: Guard, scope: dict[str, Any], body: list[bytes]) -> int:
    """The status of the answer, whose errors are sentences."""
    parts = iter(body)
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        part = next(parts, None)
        if part is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": part, "more_body": part is body[0]}

    async def send(message: Any) -> None:
        sent.append(message)

    await lab(scope, receive, send)
    status = int(sent[0]["status"])
    if status >= 400 and scope["method"] != "HEAD":
        content = json.loads(b"".join(message["body"] for message in sent[1:]))
        assert content.keys() == {"error"}
        assert content["error"].endswith(".")
    return status
