"""The lessons' page in a browser: each lesson on one screen, played and read by keyboard, safe, and readable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fallline.lessons import LESSONS
from fallline.lessons.kept import kept
from fallline.lessons.page import lessons_page
from fallline.pages.player import Scene
from tests.browser.access import serious_violations

if TYPE_CHECKING:
    from playwright.sync_api import Page

RESULTS = [result for lesson in LESSONS if (result := kept(lesson.number))]
PLAYED = [result.lesson.number for result in RESULTS if isinstance(result.evidence.picture, Scene)]
CHARTS = len(RESULTS) - len(PLAYED)
SCREEN = {"width": 1280, "height": 720}


@pytest.fixture(scope="module")
def html() -> str:
    return lessons_page([(result, "Comes with the package.") for result in RESULTS])


def drawn(page: Page) -> Page:
    page.wait_for_selector(f":nth-match(.live .plot-container, {CHARTS})")
    return page


def test_each_lesson_is_seen_without_scrolling(html: str, show: Any) -> None:
    page = drawn(show(html, viewport=SCREEN))
    heights = page.locator(".screen").evaluate_all("(all) => all.map((one) => [one.id, one.offsetHeight])")
    assert not [one for one in heights if one[1] > SCREEN["height"]]


def test_the_contents_lead_to_each_lesson_and_on(html: str, show: Any) -> None:
    page = show(html, viewport=SCREEN)
    number = LESSONS[0].number
    page.get_by_role("navigation", name="Lessons").get_by_role("link", name=LESSONS[0].title, exact=True).press("Enter")
    assert page.evaluate("location.hash") == f"#lesson-{number}"
    page.locator(f"#lesson-{number}").get_by_role("link", name="Next").press("Enter")
    assert page.locator(f"#lesson-{LESSONS[1].number}").bounding_box()["y"] == pytest.approx(0, abs=1)


@pytest.mark.parametrize("number", PLAYED[:1])
def test_a_path_plays(number: int, html: str, show: Any) -> None:
    lesson = show(html, viewport=SCREEN).locator(f"#lesson-{number}")
    lesson.get_by_role("slider", name="Step").fill("0")
    lesson.locator(".fl-state", has_text="Step 0 of").wait_for()
    lesson.locator("[data-stage]").press("ArrowRight")
    lesson.locator(".fl-state", has_text="Step 1 of").wait_for()
    box = lesson.locator("[data-stage]").bounding_box()
    assert box is not None
    assert box["height"] <= 0.6 * SCREEN["height"]


def test_a_key_hides_lines_of_its_own_lesson_alone(html: str, show: Any) -> None:
    page = drawn(show(html))
    shown = "(all) => all.map((one) => one.data.filter((line) => line.visible).length)"
    before = page.locator(".live").evaluate_all(shown)
    page.locator(".key input").first.uncheck()
    after = page.locator(".live").evaluate_all(shown)
    assert (after[0] < before[0], after[1:]) == (True, before[1:])


LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": SCREEN},
    "dark": {"viewport": SCREEN, "color_scheme": "dark"},
    "narrow": {"viewport": {"width": 320, "height": 640}},
    "without scripts": {"viewport": {"width": 390, "height": 800}, "java_script_enabled": False},
}


@pytest.mark.parametrize("look", LOOKS)
def test_looks(look: str, html: str, show: Any) -> None:
    page = show(html, **LOOKS[look])
    if look != "without scripts":
        drawn(page)
    for details in page.locator("summary").all():
        details.click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if look == "without scripts":
        assert page.locator(".still img:visible").count() == CHARTS
        return
    assert serious_violations(page) == []
