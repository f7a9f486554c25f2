"""A lab in a process of its own, and its page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.lab.actions import ADAM, TWO, follow, lab_of

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture(scope="session")
def link() -> Iterator[str]:
    with lab_of() as at:
        yield at


@pytest.fixture
def lab(open_page: Any, link: str) -> Any:
    """Opens the lab at a hash, with Playwright's options of a context, and waits for its picture."""

    def opened(hash: str = ADAM, **options: Any) -> Page:
        page: Page = open_page(link, **options)
        page.goto(link + hash, timeout=120_000)
        page.wait_for_selector(".fl-player", timeout=120_000)
        return page

    return opened


@pytest.fixture(scope="session")
def one_page(browser: Any, link: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1000, "height": 800})
    page = context.new_page()
    page.goto(link + TWO, timeout=120_000)
    page.wait_for_selector(".fl-player", timeout=120_000)
    yield page
    context.close()


@pytest.fixture
def same_lab(one_page: Page, link: str, troubles: Any) -> Iterator[Any]:
    """The same as `lab`, but for what it costs: one page follows a link after the other."""
    troubles.watch(one_page, link)

    def opened(hash: str = ADAM) -> Page:
        one_page.evaluate("document.activeElement.blur()")
        follow(one_page, hash)
        return one_page

    yield opened
    assert not troubles, "\n".join(troubles)
