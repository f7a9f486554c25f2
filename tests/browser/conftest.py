"""A headless Chromium, and pages in it that fail their test if anything goes wrong there or asks for the network."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

#: Opens an empty page; its arguments are the origin that requests may go to, and Playwright's options of a context.
OpenPage = Callable[..., "Page"]
#: Opens a page that shows this HTML.
Show = Callable[..., "Page"]

_CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    reason = "the browser tests need the package playwright: pip install playwright"
    playwright = pytest.importorskip("playwright.sync_api", reason=reason)
    found = next(filter(None, map(shutil.which, _CHROMIUMS)), None)
    if found is None:
        pytest.skip(f"the browser tests need Chromium; none of {', '.join(_CHROMIUMS)} is on the path")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield chromium
        chromium.close()


class Troubles(list[str]):
    """What went wrong on a page: errors, and requests that leave its origin."""

    def watch(self, page: Page, origin: str) -> None:
        page.on("console", lambda said: self.append(f"console: {said.text}") if said.type == "error" else None)
        page.on("pageerror", lambda error: self.append(f"error: {error}"))
        page.on("request", lambda request: self._check(request.url, origin))

    def _check(self, url: str, origin: str) -> None:
        if not url.startswith((origin, "data:", "blob:")):
            self.append(f"request to {url}")


@pytest.fixture
def troubles() -> Troubles:
    """Must be empty when the test ends; a test that provokes trouble clears it."""
    return Troubles()


@pytest.fixture
def open_page(browser: Browser, troubles: Troubles) -> Iterator[OpenPage]:
    contexts = []

    def open_one(origin: str = "file://", **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1000, "height": 800}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(120_000)
        troubles.watch(page, origin)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert not troubles, "\n".join(troubles)


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    return open_page()


@pytest.fixture
def show(open_page: OpenPage, tmp_path: Path) -> Show:
    def show_one(html: str, **options: Any) -> Page:
        file = tmp_path / "page.html"
        file.write_text(html, "utf-8")
        page = open_page(**options)
        page.goto(file.as_uri())
        return page

    return show_one
