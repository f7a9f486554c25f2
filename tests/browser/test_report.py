"""The race report in a browser: whole without scripts, alive with them, asking for nothing, safe, and readable."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import fallline
from fallline.pages.report import report_page
from fallline.problems import digits
from tests.browser.access import serious_violations
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


def drawn(page: Page, charts: int = CHARTS) -> Page:
    """The page, once Plotly has drawn every chart."""
    page.wait_for_selector(".live[hidden]", state="detached")
    page.wait_for_selector(f":nth-match(.live .plot-container, {charts})")
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


def test_the_picker_hides_an_arm_in_all_charts_with_keys_and_moves_no_other(html: str, show: Any) -> None:
    page = drawn(show(html))
    charts = page.locator("figure:has(.key) .live")
    before = charts.evaluate_all(LINES)
    page.get_by_role("group", name="Arms in the curves").get_by_role("checkbox", name="adam").uncheck()
    assert charts.evaluate_all(LINES) == [[line for line in chart if line[0] != 1] for chart in before]
    keys = page.locator(".key")
    assert keys.count() == len(before) > 2
    shown = keys.evaluate_all("(all) => all.map((one) => one.innerText.includes('adam'))")
    assert shown == [False] * len(before)
    assert not page.locator(".key input").count()
    rows = page.locator("figure:not(:has(.key)) .live")
    assert rows.evaluate_all("(all) => all.every((one) => one.data.every((line) => line.visible))")
    page.get_by_role("button", name="None").first.click()
    assert charts.evaluate_all(LINES) == [[]] * len(before)
    page.get_by_role("button", name="All", exact=True).first.click()
    assert charts.evaluate_all(LINES) == before


def visible(page: Page, kind: str) -> list[int]:
    """The arms of which the first curves show marks of a kind."""
    shown = (
        "(one, kind) => one.data.filter((line) => line.visible && line.meta.kind === kind).map((line) => line.meta.arm)"
    )
    return list(page.locator("[data-axes] .live").first.evaluate(shown, kind))


@pytest.fixture(scope="module")
def many() -> str:
    return report_page(race_data(MANY))


MANY = tuple(f"arm{number}" for number in range(12))
MANY_CHARTS = 6  # distances, steps, finals, two losses, learning rates


def test_of_many_arms_the_first_are_drawn_and_single_runs_on_demand(many: str, show: Any) -> None:
    page = drawn(show(many), MANY_CHARTS)
    picker = page.get_by_role("group", name="Arms in the curves")
    assert (visible(page, "line"), visible(page, "band"), visible(page, "faint")) == ([*range(5)], [*range(5)], [])
    picker.get_by_role("checkbox", name="Single runs").check()
    assert visible(page, "faint") == [*range(5)]
    picker.get_by_role("button", name="All").click()
    assert visible(page, "faint") == visible(page, "line") == [*range(12)]
    assert picker.get_by_role("checkbox", name="arm11").is_checked()
    picker.get_by_role("button", name="None").click()
    picker.get_by_role("checkbox", name="arm7").check()
    assert visible(page, "line") == [7]
    picker.get_by_role("button", name="First 5").click()
    assert visible(page, "line") == [*range(5)]


def test_many_arms_leave_the_picker_in_sight_and_the_still_charts_say_what_they_lack(many: str, show: Any) -> None:
    page = drawn(show(many, viewport={"width": 1280, "height": 720}), MANY_CHARTS)
    page.get_by_role("navigation").get_by_role("link", name="Learning-rate sensitivity").click()
    picker, heading = (page.locator(one).bounding_box() for one in (".picker", "#sensitivity"))
    assert picker is not None
    assert heading is not None
    assert -1 < picker["y"] < 1
    assert picker["y"] + picker["height"] < heading["y"] < 200
    still = "Drawn: the first 5 of 12 arms; the numbers of all are in the table."
    assert not page.get_by_text(still).first.is_visible()
    page.emulate_media(media="print")
    assert page.get_by_text(still).first.is_visible()
    assert page.locator(".key").first.inner_text().count("arm") == 5


def test_a_diagnosis_has_a_picker_of_its_own(show: Any) -> None:
    found = fallline.diagnose(digits(epochs=1), parts=("layers",), examples=100, progress=lambda stage: None)
    page = drawn(show(report_page({**RACE, "diagnosis": found.to_json()})), CHARTS + 1)
    apart = page.locator(".apart")
    assert apart.locator(".key input").count()
    before = page.locator("figure:has(.key) .live").evaluate_all(LINES)
    page.get_by_role("group", name="Arms in the curves").get_by_role("button", name="None").click()
    after = page.locator("figure:has(.key) .live").evaluate_all(LINES)
    assert [bool(lines) for lines in after] == [False] * (len(before) - 1) + [True]
    assert after[-1] == before[-1]


def test_it_prints_on_few_pages(many: str, show: Any) -> None:
    page = drawn(show(many), MANY_CHARTS)
    assert len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4"))) <= 5


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
    page = show(html, **LOOKS[look])
    if look != "without scripts":
        drawn(page)
    for details in page.locator("summary").all():
        details.click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if look != "without scripts":  # which checks by a script
        assert serious_violations(page) == []


def test_no_chart_offers_to_be_sent_anywhere(html: str, show: Any) -> None:
    page = drawn(show(html))
    page.locator(".js-plotly-plot").first.hover()
    assert page.locator(".modebar-btn").count() > 2
    assert not page.locator('.modebar-btn[data-title*="Share"], .modebar-btn[data-title*="loud"]').count()
