"""Makes the documentation's pictures: a real race's report and the lab, photographed in a browser.

Usage: python docs/pictures.py [--effort standard]; needs Playwright and a Chromium (`CHROMIUM` names one).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

import fallline as fl
from fallline.problems import digits

HERE = Path(__file__).parent
_NAMES = ("chromium", "chromium-browser", "google-chrome")


def photograph_report(page: Page, effort: str) -> None:
    """The report of a race of the default arms on the digits: decision, distances, leaderboard and curves."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "race.html"
        fl.race(digits(), None, effort, storage=None).report(path)
        page.goto(path.as_uri())
        page.wait_for_timeout(3000)  # Plotly draws after the page has loaded
        page.screenshot(path=HERE / "report.png", clip={"x": 0, "y": 0, "width": 1200, "height": 1500}, full_page=True)


def photograph_lab(page: Page) -> None:
    """The lab's first lesson, played to its end."""
    command = [sys.executable, "-m", "fallline", "lab", "--no-browser", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            line = next(text for text in server.stdout if "http://" in text)
            address = next(word.rstrip(".,") for word in line.split() if word.startswith("http://"))
            page.goto(address)
            page.wait_for_selector(".fl-player polyline", state="attached", timeout=60_000)
            page.wait_for_timeout(3000)
            page.screenshot(path=HERE / "lab.png", clip={"x": 0, "y": 0, "width": 1200, "height": 1100}, full_page=True)
        finally:
            server.terminate()


def main() -> None:
    """Make both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--effort", default="standard", help="of the race (standard)")
    effort = parser.parse_args().effort
    executable = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if executable is None:
        raise SystemExit("no Chromium was found; install one, or name it by CHROMIUM=...")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        photograph_report(page, effort)
        photograph_lab(page)
        browser.close()


if __name__ == "__main__":
    main()
