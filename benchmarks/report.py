"""The report of a large race: its size, how long it takes to write, and how long it takes to open in Chromium.

Needs playwright and Chromium. Aimed at: 12 arms x 16 trials x 30 finals under 4 MB, and under 1.5 s from the start of
the load to the first chart, which is a still one that stands in the page; and to the first that Plotly has drawn in its
place. On a machine that does other work, take the best of the repeats.

    python benchmarks/report.py
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import fallline
from fallline.pages.report import write_report
from fallline.problems import digits

EFFORT = fallline.Effort(trials=16, finalists=3, seeds=10)
REPEATS = 9
_FIRST_STILL = """() => new Promise((done) => {
  const shown = () => {
    const still = document.querySelector(".still img");
    if (still) still.decode().then(() => requestAnimationFrame(() => done(performance.now())));
    else requestAnimationFrame(shown);
  };
  shown();
})"""
_FIRST_LIVE = """() => new Promise((done) => {
  const look = () => document.querySelector(".live .xtick") ? done(performance.now()) : requestAnimationFrame(look);
  look();
})"""


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        sys.exit("this benchmark needs Chromium on the path")
    result = fallline.race(digits(), None, EFFORT, storage=None, slices=True)
    data = result.to_json()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "race.html"
        started = time.perf_counter()
        write_report(data, path)
        name = f"{len(result.arms)} arms x {EFFORT.trials} trials x {EFFORT.finalists * EFFORT.seeds} finals"
        print(f"{name:<34} {path.stat().st_size / 1e6:6.2f} MB")
        print(f"{'written in':<34} {time.perf_counter() - started:6.2f} s")
        shown = opened(path, chromium)
    for name, seconds in zip(("first chart", "first chart by Plotly"), zip(*shown, strict=True), strict=True):
        told = f"{name}, of {REPEATS} times"
        print(f"{told:<34} {statistics.median(seconds):6.2f} s median, {min(seconds):.2f} to {max(seconds):.2f} s")
    print(f"{'load of the machine':<34} {os.getloadavg()[0]:6.1f} on {os.cpu_count()} cores")


def opened(path: Path, chromium: str) -> list[tuple[float, float]]:
    """Seconds from the start of the load to the first still chart and to Plotly's, each in a fresh context."""
    from playwright.sync_api import sync_playwright

    seconds = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(REPEATS):
            page = browser.new_context().new_page()
            page.goto(path.as_uri(), wait_until="commit")
            still, live = (float(page.evaluate(script)) / 1000 for script in (_FIRST_STILL, _FIRST_LIVE))
            seconds.append((still, live))
            page.context.close()
        browser.close()
    return seconds


if __name__ == "__main__":
    main()
