"""The race report in a browser: whole without scripts, alive with them, asking for nothing, safe, and readable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fallline.pages.report import report_page
from tests.pages.report_cases import COMMAND, HOSTILE, also_searched, diverge, diverged_trial, race_data, slices

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHARTS = 8  # distances, steps, finals, two losses, learning rates, batch sizes, a line through the landscape


def full_race(*names: str) -> dict[str, Any]:
    data = diverged_trial(diverge(race_data(names), 0, 2), 1, 3)
    data["decision"]["speed"][names[1]] = [None, 1.5, None]
    return {
        **also_searched(data, "batch", {"options": [8, 16]}, [8, 16, 8, 16]),
        "slices": [slices(list(names), 1), slices(list(names), 2)],
    }


RACE = full_race("sgd", "adam", "lion")


@pytest.fixture(scope="module")
def html() -> str:
    return report_page(RACE)


def drawn(page: Page) -> Page:
    """The page, once Plotly has drawn every chart."""
    page.wait_for_selector(".live[hidden]", state="detached")
    page.wait_for_selector(f":nth-match(.live .plot-container, {CHARTS})")
    return page


def arms(page: Page) -> list[str]:
    return page.locator(".sortable tbody th").all_inner_texts()


def test_without_scripts_the_first_frame_is_whole(html: str, show: Any) -> None:
    page = show(html, java_script_enabled=False)
    assert page.get_by_role("heading", name=f"Take {RACE['arms'][0]['name']} with lr = 0.1").is_visible()
    assert page.get_by_text("# sgd").is_visible()
    assert arms(page) == ["sgd", "adam", "lion"]
    assert page.locator(".still img:visible").count() == CHARTS
    assert page.locator(".fl-stage:visible").count() == 3
    assert not page.locator("input:visible, button:visible, .live:visible").count()


def test_plotly_draws_every_chart_and_no_other_script_runs(html: str, show: Any, troubles: list[str]) -> None:
    page = drawn(show(html))
    assert page.locator(".live:visible").count() == CHARTS
    assert page.locator(".still:visible").count() == 0
    assert not troubles
    page.evaluate("() => document.head.append(document.createElement('script')) ?? 1")
    page.evaluate("() => (document.head.lastChild.textContent = 'window.hacked = 1')")
    assert page.evaluate("() => window.hacked") is None
    assert "violates the following Content Security Policy" in troubles.pop()


def test_the_still_charts_are_pictures(html: str, show: Any) -> None:
    page = show(html)
    widths = page.locator(".still img").evaluate_all(
        "(all) => Promise.all(all.map(async (one) => (await one.decode(), one.naturalWidth)))"
    )
    assert len(widths) == CHARTS
    assert all(width > 100 for width in widths)


@pytest.mark.parametrize("key", [None, "Enter", "Space"])
def test_the_leaderboard_is_sorted_by_a_heading(key: str | None, html: str, show: Any) -> None:
    page = show(html)
    heading = page.get_by_role("columnheader", name="time a step")
    button = heading.get_by_role("button")

    def press() -> None:
        if key is None:
            button.click()
        else:
            button.press(key)

    press()
    assert (arms(page), heading.get_attribute("aria-sort")) == (["sgd", "adam", "lion"], "ascending")
    press()
    assert (arms(page), heading.get_attribute("aria-sort")) == (["lion", "adam", "sgd"], "descending")
    page.get_by_role("button", name="steps, over").click()
    assert arms(page)[-1] == "adam"  # whose steps are not known
    assert heading.get_attribute("aria-sort") is None
    page.get_by_role("button", name="arm", exact=True).click()
    assert arms(page) == ["adam", "lion", "sgd"]


def test_curves_against_samples_and_seconds(html: str, show: Any) -> None:
    page = drawn(show(html))
    titles = page.locator("[data-axes] .xtitle")
    assert titles.all_text_contents() == ["steps", "steps"]
    page.get_by_label("seconds", exact=True).check()
    assert titles.all_text_contents() == ["seconds (steps times the time of a step alone)"] * 2
    last = "document.querySelector('[data-axes] .live').data.find((one) => one.meta.kind === 'line').x.at(-1)"
    assert page.evaluate(last) == pytest.approx(0.3)
    page.get_by_label("samples", exact=True).check()
    assert page.evaluate(last) == 240


LINES = "(all) => all.map((one) => one.data.filter((line) => line.visible).map((line) => [line.meta.arm, line.y]))"


def test_a_key_hides_an_arm_in_all_charts_with_keys_and_moves_no_other(html: str, show: Any) -> None:
    page = drawn(show(html))
    charts = page.locator("figure:has(.key) .live")
    before = charts.evaluate_all(LINES)
    page.locator("[data-axes] figure").first.get_by_role("checkbox", name="adam").uncheck()
    assert charts.evaluate_all(LINES) == [[line for line in chart if line[0] != 1] for chart in before]
    boxes = page.locator(".key input").evaluate_all("(all) => all.map((box) => box.checked === (box.value !== '1'))")
    assert len(boxes) > 2
    assert all(boxes)
    rows = page.locator("figure:not(:has(.key)) .live")
    assert rows.evaluate_all("(all) => all.every((one) => one.data.every((line) => line.visible))")
    page.get_by_role("button", name="None").first.click()
    assert charts.evaluate_all(LINES) == [[]] * len(before)
    page.get_by_role("button", name="All", exact=True).first.click()
    assert charts.evaluate_all(LINES) == before


@pytest.mark.parametrize(("part", "text"), [(".code pre", "# sgd"), (".command", COMMAND)])
def test_what_is_to_be_pasted_is_copied(part: str, text: str, html: str, show: Any) -> None:
    page = show(html)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    home = page.locator(f":is(li, .code):has(> {part.split()[-1]})")
    home.get_by_role("button", name="Copy").click()
    home.get_by_role("button", name="Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith(text)
    assert copied == page.locator(part).text_content()


def test_where_no_page_may_write_the_text_is_marked(html: str, show: Any) -> None:
    page = show(html)
    page.evaluate("() => Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.locator(".code").get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Marked").wait_for()
    assert page.evaluate("getSelection().toString()").startswith("# sgd")


def test_the_decision_and_its_code_are_seen_without_scrolling(html: str, show: Any) -> None:
    page = show(html, viewport={"width": 1280, "height": 720})
    for part in ("h1", ".told", ".limits", ".code pre"):
        box = page.locator(part).bounding_box()
        assert box is not None
        assert box["y"] + box["height"] < 720, part


def test_hostile_names_do_nothing(show: Any) -> None:
    page = drawn(show(report_page(full_race(HOSTILE, "<!--<script>", "</style>"))))
    assert page.title() == "Race report: hills"
    assert page.locator("img:not(.still img)").count() == 0
    assert arms(page) == [HOSTILE, "<!--<script>", "</style>"]
    assert HOSTILE[:19] in page.locator(".live").first.locator(".ytick").all_text_contents()[-1]


@pytest.mark.parametrize("scripts", [True, False])
def test_downloads(scripts: bool, html: str, show: Any) -> None:
    page = show(html, java_script_enabled=scripts)
    with page.expect_download() as download:
        page.get_by_role("link", name="All of the race as JSON").click()
    assert download.value.suggested_filename == ("race.json" if scripts else "race.json.gz")
    if scripts:
        assert json.loads(Path(download.value.path()).read_text("utf-8")) == RACE


def test_paper_shows_the_still_charts(html: str, show: Any) -> None:
    page = drawn(show(html, color_scheme="dark"))
    page.emulate_media(media="print")
    assert page.locator(".still img:visible").count() == CHARTS
    assert not page.locator(".live:visible, fieldset.axes:visible").count()


def test_colours_follow_the_system(html: str, show: Any) -> None:
    page = drawn(show(html))
    line = "document.querySelector('.live').data.find((one) => one.meta.arm === 1 && one.marker).marker.color"
    text = "document.querySelector('.live').layout.font.color"
    assert (page.evaluate(line), page.evaluate(text)) == ("#c65500", "rgb(26, 29, 33)")
    page.emulate_media(color_scheme="dark")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done())))")
    assert (page.evaluate(line), page.evaluate(text)) == ("#ff8a3c", "rgb(236, 239, 243)")


LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "narrow": {"viewport": {"width": 320, "height": 640}},
    # A browser's zoom of 200 % halves the page's width and doubles its pixels.
    "zoomed": {"viewport": {"width": 640, "height": 400}, "device_scale_factor": 2},
    "without scripts": {"viewport": {"width": 320, "height": 640}, "java_script_enabled": False},
}


@pytest.mark.parametrize("look", LOOKS)
def test_looks(look: str, html: str, show: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = show(html, **LOOKS[look])
    if look != "without scripts":
        drawn(page)
    for details in page.locator("summary").all():
        details.click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if look != "without scripts":  # which checks by a script
        found = Axe().run(page).response["violations"]
        assert not [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")]


def test_no_chart_offers_to_be_sent_anywhere(html: str, show: Any) -> None:
    page = drawn(show(html))
    page.locator(".js-plotly-plot").first.hover()
    assert page.locator(".modebar-btn").count() > 2
    assert not page.locator('.modebar-btn[data-title*="Share"], .modebar-btn[data-title*="loud"]').count()
