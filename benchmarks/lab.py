"""The lab: how soon after the command it answers and shows a first picture, and how long a redraw takes.

With Chromium and Playwright, the same in the page itself, and how long its frames are while it plays.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

OPTIMIZERS = [
    {"rule": "gradient_descent", "lr": 0.002}, {"rule": "momentum", "lr": 0.001}, {"rule": "nesterov", "lr": 0.001},
    {"rule": "rmsprop", "lr": 0.02}, {"rule": "adam", "lr": 0.1},
]  # fmt: skip
PICTURE = {"surface": "rosenbrock", "steps": 400, "optimizers": OPTIMIZERS}
HASH = "#surface=rosenbrock&steps=400&" + "&".join(f"optimizer={one['rule']},lr:{one['lr']}" for one in OPTIMIZERS)
STARTS, REDRAWS = 3, 40
#: Moves the first learning rate's slider so many times; a frame is awaited, so that the picture is on the screen.
_FOLLOWED = """async count => {
    const player = window.fallline.player(document.querySelector(".fl-player"));
    const slider = document.querySelector("#optimizers [type=range]");
    const frame = () => new Promise(requestAnimationFrame);
    const times = [];
    for (let change = 0; change < count; change++) {
        const [began, before] = [performance.now(), player.scene];
        slider.stepUp(change % 2 ? -1 : 1);
        slider.dispatchEvent(new Event("input", { bubbles: true }));
        while (player.scene === before) await frame();
        await frame();
        times.push(performance.now() - began);
    }
    return times;
}"""
_INTERVALS = """() => new Promise(done => {
    const times = [];
    const frame = now => { times.push(now); times.length < 120 ? requestAnimationFrame(frame) : done(times); };
    requestAnimationFrame(frame);
})"""


@contextmanager
def lab() -> Iterator[tuple[str, float]]:
    """The link of a lab in a process of its own, and when its command was given."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "fallline", "lab", "--port", "0", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().removeprefix("The lab is at ").strip(), began
        finally:
            process.send_signal(signal.SIGINT)


def ask(link: str, address: str, body: Any = None) -> bytes:
    """The content of an answer."""
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(link + address, content, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return bytes(answer.read())


def first_answers() -> tuple[float, float]:
    """Seconds from the command to the page, and to the data of the first picture."""
    with lab() as (link, began):
        ask(link, "")
        page = time.perf_counter() - began
        ask(link, "api/descent", {**PICTURE, "fragment": True})
        return page, time.perf_counter() - began


def redraws() -> list[float]:
    """Milliseconds from a request to its answer, each with a learning rate of its own."""
    found = []
    with lab() as (link, _):
        ask(link, "api/descent", PICTURE)
        for count in range(REDRAWS):
            changed = [{**one, "lr": one["lr"] * (1 + count / 1000)} for one in OPTIMIZERS]  # type: ignore[operator]
            began = time.perf_counter()
            ask(link, "api/descent", {**PICTURE, "optimizers": changed})
            found.append(1000 * (time.perf_counter() - began))
    return found


def in_chromium(chromium: str) -> tuple[float, list[float], list[float]]:
    """How long the page itself takes.

    Seconds from the command until it shows paths; milliseconds from a change of a control until the picture has
    followed; milliseconds between frames while it plays.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        with lab() as (link, began):
            page.goto(link)
            page.wait_for_selector(".fl-trail polyline", state="attached", timeout=60_000)
            shown = time.perf_counter() - began
            page.evaluate("hash => (location.hash = hash)", HASH)
            page.wait_for_timeout(2000)
            followed = page.evaluate(_FOLLOWED, REDRAWS)
            page.locator("[data-control=speed]").select_option("60")
            page.locator("[data-control=play]").first.click()
            times = page.evaluate(_INTERVALS)
        browser.close()
    return shown, followed, [after - before for before, after in pairwise(times)]


def print_row(what: str, values: list[float], unit: str, limit: float) -> None:
    """A line of the table: median, worst, and what was aimed at."""
    print(f"{what:<44}{statistics.median(values):>8.3g}{max(values):>8.3g}  {unit:<3} {limit:g}")


def main() -> None:
    """Measure and print."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    pages, pictures = zip(*(first_answers() for _ in range(STARTS)), strict=True)
    print(f"{'':<44}{'median':>8}{'worst':>8}      aim")
    print_row("command to the page", list(pages), "s", 1)
    print_row("command to the data of the first picture", list(pictures), "s", 4)
    print_row("redraw of 5 optimizers x 400 steps", redraws(), "ms", 150)
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        print("Chromium is not on the path: the page itself is not measured.")
        return
    shown, followed, intervals = in_chromium(chromium)
    print_row("command to the first picture, in Chromium", [shown], "s", 4)
    print_row("change of a control to its picture, there", followed, "ms", 150)
    print_row("between two frames while it plays", intervals, "ms", 1000 / 60)


if __name__ == "__main__":
    main()
