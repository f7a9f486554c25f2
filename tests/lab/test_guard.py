"""Who may ask the lab, by which name; and what every answer allows a browser to do."""

from __future__ import annotations

import socket

import pytest
from starlette.testclient import TestClient

from fallline.lab.application import application
from fallline.lab.guard import HEADERS, Address

THIS = socket.gethostname().lower()


@pytest.mark.parametrize(
    ("bound", "host", "answers"),
    [
        ("127.0.0.1", "127.0.0.1:8765", True),
        ("127.0.0.1", "localhost:8765", True),
        ("127.0.0.1", "LOCALHOST:8765", True),
        ("127.0.0.1", "[::1]:8765", True),
        ("::1", "[::1]:8765", True),
        ("localhost", "localhost:8765", True),
        ("127.0.0.1", "localhost", False),
        ("127.0.0.1", "[::1]", False),
        ("127.0.0.1", "localhost:80", False),
        ("127.0.0.1", "evil.example:8765", False),
        ("127.0.0.1", "localhost.evil.example:8765", False),
        ("127.0.0.1", "127.0.0.1.evil.example:8765", False),
        ("127.0.0.1", "localhost:8765:8765", False),
        ("127.0.0.1", "user@localhost:8765", False),
        ("127.0.0.1", "", False),
        ("127.0.0.1", ":8765", False),
        ("192.0.2.7", "192.0.2.7:8765", True),
        ("192.0.2.7", "192.0.2.8:8765", False),
        ("192.0.2.7", "localhost:8765", False),
        ("0.0.0.0", "192.0.2.7:8765", True),
        ("0.0.0.0", "localhost:8765", True),
        ("0.0.0.0", f"{THIS}:8765", True),
        ("0.0.0.0", "evil.example:8765", False),
        ("::", "[2001:db8::1]:8765", True),
        ("box.example", "box.example:8765", True),
        ("box.example", "other.example:8765", False),
    ],
)  # fmt: skip
def test_names(bound: str, host: str, answers: bool) -> None:
    assert Address(bound, 8765).answers_to(host) is answers


def test_port_80_needs_no_number() -> None:
    assert Address("127.0.0.1", 80).answers_to("localhost")
    assert Address("127.0.0.1", 80).answers_to("[::1]")


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"Host": "evil.example:8765"}, "not called by that name"),
        ({"Host": "127.0.0.1:9"}, "not called by that name"),
        ({"Origin": "http://evil.example"}, "Another site may not ask"),
        ({"Origin": "null"}, "Another site may not ask"),
        ({"Origin": "https://127.0.0.1:8765"}, "Another site may not ask"),
        ({"Origin": "http://localhost:8765"}, "Another site may not ask"),  # another origin than the Host's
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_others_are_turned_away(lab: TestClient, method: str, headers: dict[str, str], words: str) -> None:
    answer = lab.request(method, "/api/code", headers=headers, json={})
    assert (answer.status_code, words in answer.json()["error"]) == (403, True), answer.text
    assert answer.headers["content-security-policy"] == HEADERS["Content-Security-Policy"]


def test_its_own_page_may_ask(lab: TestClient) -> None:
    assert lab.post("/api/tab/ema", json={}, headers={"Origin": "http://127.0.0.1:8765"}).status_code == 200


def test_two_hosts_are_one_too_many(lab: TestClient) -> None:
    answer = lab.get("/api/races", headers=[("Host", "127.0.0.1:8765"), ("Host", "127.0.0.1:8765")])
    assert answer.status_code == 403


@pytest.mark.parametrize("address", ["/api/catalogue", "/player.js", "/nothing", "/api/descent"])
def test_every_answer_has_the_headers(lab: TestClient, address: str) -> None:
    answer = lab.get(address)
    assert HEADERS.items() <= {key.title(): value for key, value in answer.headers.items()}.items()


def test_the_policy_allows_no_inline_script_and_no_eval() -> None:
    policy = dict(part.strip().split(" ", 1) for part in HEADERS["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"


def guarded() -> TestClient:
    address = Address("192.0.2.7", 8765, token="secret")
    return TestClient(application(address), base_url="http://192.0.2.7:8765", follow_redirects=False)


@pytest.mark.parametrize(
    ("address", "cookie"),
    [
        ("/", None),
        ("/api/races", None),
        ("/?token=wrong", None),
        ("/?token=", None),
        ("/?token=%C3%A9", None),
        ("/api/races?token=secret", None),
        ("/api/races", "fallline-lab-8765=wrong"),
        ("/api/races", "fallline-lab-9999=secret"),
        ("/api/races", "fallline-lab-8765=\x7f\x01"),
    ],
)
def test_without_the_token_nothing_is_answered(address: str, cookie: str | None) -> None:
    answer = guarded().get(address, headers={} if cookie is None else {"Cookie": cookie})
    assert (answer.status_code, "token" in answer.json()["error"]) == (403, True)


def test_the_link_sets_a_cookie_and_takes_the_token_out_of_the_address() -> None:
    client = guarded()
    answer = client.get("/?token=secret")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert all(part in cookie for part in ("fallline-lab-8765=secret", "HttpOnly", "SameSite=strict"))
    assert client.get("/api/races").json() == {"races": []}


@pytest.mark.parametrize(
    ("address", "link"),
    [
        (Address("127.0.0.1", 8765), "http://127.0.0.1:8765/"),
        (Address("::1", 8765), "http://[::1]:8765/"),
        (Address("192.0.2.7", 80, "t"), "http://192.0.2.7:80/?token=t"),
    ],
)
def test_links(address: Address, link: str) -> None:
    assert address.link == link
