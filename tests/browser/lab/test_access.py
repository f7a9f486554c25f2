"""Keys, focus, light and dark, narrow and zoomed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.access import serious_violations
from tests.browser.lab.actions import (
    ADAM,
    THE_PLAYER,
    address,
    until,
)

if TYPE_CHECKING:
    pass


@pytest.mark.parametrize(
    ("key", "place", "after"),
    [
        ("ArrowLeft", "body", 9),
        ("ArrowRight", "body", 11),
        ("Home", "body", 0),
        ("End", "body", 60),
        ("ArrowLeft", "#add", 9),
        ("End", "#seed", 10),
        ("Home", "#surface", 10),
        ("ArrowLeft", "#tab-ema", 10),
        ("ArrowRight", "input[value=each]", 10),
    ],
)
def test_keys_step_unless_a_field_has_focus(key: str, place: str, after: int, same_lab: Any) -> None:
    page = same_lab()
    page.evaluate(f"{THE_PLAYER}.seek(10)")
    if place != "body":
        page.locator(place).focus()
    page.keyboard.press(key)
    assert page.evaluate(f"{THE_PLAYER}.step") == after


def test_space_plays_and_pauses(lab: Any) -> None:
    page = lab(ADAM + "&speed=5")
    page.keyboard.press("Space")
    until(page, f"{THE_PLAYER}.step > 0 && {THE_PLAYER}.step < 60")
    assert page.evaluate(f"{THE_PLAYER}.playing")
    page.keyboard.press("Space")
    assert not page.evaluate(f"{THE_PLAYER}.playing")
    assert f"&at={page.evaluate(f'{THE_PLAYER}.step')}&" in address(page)


def test_the_limits_of_toys_are_said(lab: Any) -> None:
    assert lab().get_by_text("Two-dimensional toys do not predict rankings on networks").is_visible()


def test_focus_is_seen_everywhere(lab: Any) -> None:
    page = lab()
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        outline, name = page.evaluate(
            "[getComputedStyle(document.activeElement).outline, document.activeElement.outerHTML.slice(0, 90)]"
        )
        seen.add(name)
        assert outline.endswith("solid 3px") or name.startswith("<body"), name
    assert len(seen) > 35


LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light", "viewport": {"width": 1440, "height": 900}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1440, "height": 900}},
    "narrow": {"viewport": {"width": 320, "height": 640}},
    # A browser's zoom of 200 % halves the page's width and doubles its pixels.
    "zoomed": {"viewport": {"width": 640, "height": 400}, "device_scale_factor": 2},
}


@pytest.mark.parametrize("look", LOOKS)
def test_looks(look: str, lab: Any) -> None:
    page = lab("#surface=plateau&optimizer=amsgrad,schedule:staircase&optimizer=adamp&optimizer=lion", **LOOKS[look])
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    background = page.locator(".settings").evaluate("(one) => getComputedStyle(one).backgroundColor")
    assert background == ("rgb(20, 24, 30)" if look == "dark" else "rgb(255, 255, 255)")
    page.get_by_role("tabpanel").locator(".box").wait_for()
    page.get_by_role("button", name="Copy as Python").click()
    page.get_by_label("Python", exact=True).wait_for()
    page.locator("#tried a").wait_for()
    for details in page.locator("summary:visible").all():
        details.click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert serious_violations(page) == []
