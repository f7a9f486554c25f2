"""What people do on the lab's page, and what the tests ask of it."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

ADAM = "#surface=ravine&steps=60&optimizer=adam,lr:0.2"
TWO = "#surface=ravine&steps=60&optimizer=gradient_descent,lr:0.03&optimizer=momentum,lr:0.01"
THE_PLAYER = "window.fallline.player(document.querySelector('.fl-player'))"
HOSTILE = "</script><img src=x onerror=window.hacked=1><!-- \"'&amp;{{7*7}}"
RATE = "Learning rate of adam, number 1"
#: Makes links differ, as a page does not follow the one that it is at.
_COUNT = itertools.count()
Act = Callable[["Page"], Any]


@contextmanager
def lab_of(*options: str) -> Iterator[str]:
    """The link of a lab in a process of its own."""
    command = [sys.executable, "-m", "fallline", "lab", "--port", "0", "--no-browser", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().removeprefix("The lab is at ").strip()
        finally:
            process.send_signal(signal.SIGINT)


def until(page: Page, condition: str, of: Any = None) -> None:
    """Wait for an expression of the page to hold; Playwright's own way evaluates text, which the policy forbids."""
    page.evaluate(
        f"""(of) => new Promise((done, failed) => {{
            const last = performance.now() + 120_000;
            const look = () => {{
                if ({condition}) done();
                else if (performance.now() > last) failed(new Error("It never came: " + {json.dumps(condition)}));
                else setTimeout(look, 10);
            }};
            look();
        }})""",
        of,
    )


def redrawn(page: Page, act: Act) -> None:
    """Do what brings another picture, and wait for it."""
    page.evaluate(f"window.scene = {THE_PLAYER}.scene")
    act(page)
    until(page, f"{THE_PLAYER}.scene !== window.scene")


def eventually(check: Callable[[], Any]) -> None:
    """Check until it holds: a picture may be on its way still."""
    last = time.monotonic() + 120
    while True:
        try:
            check()
            return
        except AssertionError:
            if time.monotonic() > last:
                raise
            time.sleep(0.03)


def ways(page: Page) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.evaluate(f"{THE_PLAYER}.scene.trajectories")
    return found


def address(page: Page) -> str:
    """The hash once it is written, which is a while after the last change."""
    page.evaluate("new Promise((done) => setTimeout(done, 400))")
    return str(page.evaluate("location.hash"))


def follow(page: Page, link: str) -> None:
    """Have the page read a link, and wait for its picture."""
    redrawn(page, lambda page: page.evaluate("(link) => (location.hash = link)", f"{link}&{next(_COUNT)}"))


def card(page: Page, number: int = 1) -> Locator:
    return page.locator("#optimizers > li").nth(number - 1)


def forgive(troubles: list[str], *said: str) -> None:
    """Take out what the browser itself says of an answer that refuses."""
    troubles[:] = [one for one in troubles if not any(words in one for words in said)]


def field(page: Page, label: str) -> Locator:
    """A control of the picture; the small experiments' have the same names."""
    return page.locator(".lesson, .bench").get_by_label(label, exact=True)


def fill(label: str, value: str) -> Act:
    return lambda page: field(page, label).fill(value)


def typed(label: str, value: str) -> Act:
    """The same by keyboard alone."""

    def act(page: Page) -> None:
        field(page, label).focus()
        page.keyboard.press("Control+A")
        page.keyboard.type(value)

    return act


def select(label: str, value: str) -> Act:
    return lambda page: field(page, label).select_option(value)


def pressed(label: str, key: str) -> Act:
    return lambda page: field(page, label).press(key)


def opened(act: Act) -> Act:
    """In the settings of the first optimizer."""

    def acted(page: Page) -> None:
        card(page).get_by_text("Equation and settings").click()
        act(page)

    return acted


def both(*acts: Act) -> Act:
    return lambda page: [act(page) for act in acts]


def button(name: str) -> Act:
    return lambda page: page.get_by_role("button", name=name, exact=True).click()


def radio(name: str) -> Act:
    return lambda page: field(page, name).check()
