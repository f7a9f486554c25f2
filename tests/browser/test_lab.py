"""The lab's page in a browser, served by `fallline lab`: each control, what it draws, and the address that keeps it."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import numpy as np
import pytest

from fallline import rules, schedules
from fallline.lab.presets import PRESETS
from fallline.landscape import Surface, path, surfaces
from fallline.racing.arms.dimensions import Range
from fallline.racing.runs import Outcome, Run
from fallline.racing.storage.card import RaceCard
from fallline.racing.storage.opening import open_store

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

ADAM = "#surface=ravine&steps=60&optimizer=adam,lr:0.2"
TWO = "#surface=ravine&steps=60&optimizer=gradient_descent,lr:0.03&optimizer=momentum,lr:0.01"
THE_PLAYER = "window.fallline.player(document.querySelector('.fl-player'))"
HOSTILE = "</script><img src=x onerror=window.hacked=1><!-- \"'&amp;{{7*7}}"
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


@pytest.fixture(scope="module")
def link() -> Iterator[str]:
    with lab_of() as at:
        yield at


@pytest.fixture
def lab(open_page: Any, link: str) -> Any:
    """Opens the lab at a hash, with Playwright's options of a context, and waits for its picture."""

    def opened(hash: str = ADAM, **options: Any) -> Page:
        page: Page = open_page(link, **options)
        page.goto(link + hash)
        page.wait_for_selector(".fl-player", timeout=60_000)
        page.evaluate("window.scene = null")
        return page

    return opened


def until(page: Page, condition: str, of: Any = None) -> None:
    """Wait for an expression of the page to hold; Playwright's own way evaluates text, which the policy forbids."""
    page.evaluate(
        f"""(of) => new Promise((done, failed) => {{
            const last = performance.now() + 10_000;
            const look = () => {{
                if ({condition}) done();
                else if (performance.now() > last) failed(new Error("It never came: " + {json.dumps(condition)}));
                else setTimeout(look, 10);
            }};
            look();
        }})""",
        of,
    )


@pytest.fixture(scope="module")
def one_page(browser: Any, link: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1000, "height": 800})
    page = context.new_page()
    page.goto(link + TWO)
    page.wait_for_selector(".fl-player", timeout=60_000)
    yield page
    context.close()


@pytest.fixture
def same_lab(one_page: Page, link: str, troubles: Any) -> Iterator[Any]:
    """The same as `lab`, but for what it costs: one page follows a link after the other."""
    troubles.watch(one_page, link)

    def opened(hash: str = ADAM) -> Page:
        one_page.evaluate("document.activeElement.blur()")
        redrawn(one_page, lambda page: page.evaluate("(hash) => (location.hash = hash)", f"{hash}&{next(_COUNT)}"))
        return one_page

    yield opened
    assert not troubles, "\n".join(troubles)


def redrawn(page: Page, act: Act) -> None:
    """Do what brings another picture, and wait for it."""
    page.evaluate(f"window.scene = {THE_PLAYER}.scene")
    act(page)
    until(page, f"{THE_PLAYER}.scene !== window.scene")


def ways(page: Page) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.evaluate(f"{THE_PLAYER}.scene.trajectories")
    return found


def address(page: Page) -> str:
    """The hash once it is written, which is a while after the last change."""
    page.evaluate("new Promise((done) => setTimeout(done, 400))")
    return str(page.evaluate("location.hash"))


def taken_up_again(page: Page) -> None:
    """Have the page read its own address."""
    link = f"{address(page)}&{next(_COUNT)}"
    redrawn(page, lambda page: page.evaluate("(link) => (location.hash = link)", link))


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


RATE = "Learning rate of adam, number 1"
MILD = replace(surfaces.ravine, function=lambda x, y: (x**2 + 10 * y**2) / 2)
RAVINE, ROSENBROCK = surfaces.ravine, surfaces.rosenbrock
PLAIN: dict[str, Any] = {"surface": RAVINE, "rule": "adam", "lr": 0.2, "steps": 60}


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (fill(RATE, "0.1"), {"lr": 0.1}),
        (typed(RATE, "0.05"), {"lr": 0.05}),
        (pressed(f"{RATE}, slider", "Home"), {"lr": 1e-4}),
        (pressed(f"{RATE}, slider", "End"), {"lr": 10}),
        (lambda page: field(page, f"{RATE}, slider").click(), {"lr": 0.0316}),
        (opened(fill("beta1 of adam, number 1", "0.5")), {"beta1": 0.5}),
        (opened(pressed("beta1 of adam, number 1, slider", "End")), {"beta1": 0.999}),
        (opened(pressed("beta2 of adam, number 1, slider", "Home")), {"beta2": 0.9}),
        (opened(fill("eps of adam, number 1", "0.01")), {"eps": 0.01}),
        (opened(fill("Weight decay of adam, number 1", "0.5")),
         {"rule": rules.decoupled_decay(rules.adam), "weight_decay": 0.5}),
        (opened(select("Schedule of adam, number 1", "cosine")), {"schedule": schedules.cosine(60)}),
        (both(opened(select("Schedule of adam, number 1", "staircase")), fill("every", "20")),
         {"schedule": schedules.staircase(20, 0.5)}),
        (opened(pressed("Schedule of adam, number 1", "ArrowDown")), {"schedule": schedules.linear(60)}),
        (select("Surface", "rosenbrock"), {"surface": ROSENBROCK, "steps": 1000}),
        (pressed("Surface", "ArrowDown"), {"surface": ROSENBROCK, "steps": 1000}),
        (fill("Condition number", "10"), {"surface": MILD}),
        (fill("Noise: its standard deviation in one sample's gradient", "2"), {"noise": 2}),
        (pressed("Noise: its standard deviation in one sample's gradient, slider", "End"), {"noise": 20}),
        (both(fill("Batch", "4"), fill("Noise: its standard deviation in one sample's gradient", "2")), {"noise": 1}),
        (both(fill("Seed", "7"), fill("Noise: its standard deviation in one sample's gradient", "2")),
         {"noise": 2, "seed": 7}),
        (typed("Steps", "20"), {"steps": 20}),
        (pressed("Steps", "ArrowUp"), {"steps": 61}),
        (fill("x", "1"), {"start": (1, 1.5)}),
        (typed("y", "-1"), {"start": (-4, -1)}),
        (lambda page: page.locator(".fl-handle").press("Shift+ArrowRight"), {"start": (-3, 1.5)}),
        (lambda page: page.locator("[data-stage]").click(), {"start": (0, 0)}),
    ],
)  # fmt: skip
def test_controls_draw_the_path_that_python_walks(act: Act, expected: dict[str, Any], same_lab: Any) -> None:
    page = same_lab()
    redrawn(page, act)
    settings = {**PLAIN, **expected}
    rough = 0.02 if settings.get("start") == (0, 0) else 0  # a click is as exact as the mouse
    if rough:
        settings["start"] = tuple(page.evaluate(f"{THE_PLAYER}.scene.start"))
        assert settings["start"] == pytest.approx((0, 0), abs=rough)
    found = path(settings.pop("surface"), settings.pop("rule"), **settings)
    until(page, f"{THE_PLAYER}.scene.trajectories[0].points.length === {len(found.points)}")
    (shown,) = ways(page)
    np.testing.assert_allclose(shown["points"], found.points, rtol=1e-5, atol=1e-12)
    assert shown["outcome"] == found.description
    taken_up_again(page)
    assert ways(page) == [shown]


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (radio("the same for all"), [("gradient descent", 0.03), ("momentum", 0.03)]),
        (both(radio("the same for all"), fill("Learning rate of momentum, number 2", "0.02")),
         [("gradient descent", 0.02), ("momentum", 0.02)]),
        (both(select("One more", "rmsprop"), button("Add")),
         [("gradient descent", 0.03), ("momentum", 0.01), ("rmsprop", 0.1)]),
        (both(lambda page: page.get_by_label("One more").press("n"), pressed("One more", "Tab"),
              lambda page: page.keyboard.press("Enter")),
         [("gradient descent", 0.03), ("momentum", 0.01), ("nadam", 0.1)]),
        (button("Remove gradient descent, number 1"), [("momentum", 0.01)]),
        (lambda page: page.get_by_role("button", name="Remove momentum").press("Enter"), [("gradient descent", 0.03)]),
    ],
)  # fmt: skip
def test_optimizers_and_whose_rates_hold(act: Act, expected: list[tuple[str, float]], same_lab: Any) -> None:
    page = same_lab(TWO)
    redrawn(page, act)
    until(page, f"{THE_PLAYER}.scene.trajectories.length === {len(expected)}")
    assert [(way["name"], way["learningRate"]) for way in ways(page)] == expected
    shown = [f"{name} learning rate {rate:g}" for name, rate in expected]
    keys = [" ".join(key.inner_text().split()) for key in page.locator(".fl-key li").all()]
    assert all(key.startswith(words) for key, words in zip(keys, shown, strict=True))
    rates = [float(one.input_value()) for one in page.locator("#optimizers > li > .slider [type=number]").all()]
    assert rates == [rate for _, rate in expected]
    before = ways(page)
    taken_up_again(page)
    assert ways(page) == before


def test_rates_are_tuned_and_said(same_lab: Any) -> None:
    page = same_lab(TWO)
    redrawn(page, radio("tuned for each"))
    tuned = [way["learningRate"] for way in ways(page)]
    assert tuned != [0.03, 0.01]
    fields = page.locator("#optimizers > li > .slider [type=number]")
    assert [float(one.input_value()) for one in fields.all()] == tuned
    assert fields.first.is_disabled()
    redrawn(page, radio("each its own"))
    assert [float(one.input_value()) for one in fields.all()] == [0.03, 0.01]


def test_the_last_optimizer_stays(same_lab: Any) -> None:
    assert same_lab().get_by_role("button", name="Remove adam, number 1").is_disabled()


def test_each_chip_shows_its_equation(same_lab: Any) -> None:
    page = same_lab(TWO)
    for number in (1, 2):
        card(page, number).get_by_text("Equation and settings").press("Enter")
        assert card(page, number).locator("math").is_visible()
    assert page.locator("#surface-equation math").is_visible()


def test_lessons_one_after_the_other(lab: Any) -> None:
    page = lab("")
    for number, preset in enumerate(PRESETS):
        if number:
            page.get_by_role("button", name="Next", exact=True).click()
        assert page.locator("#sentence").inner_text() == preset["sentence"]
        assert field(page, "Lesson").input_value() == preset["name"]
        if "tab" in preset["state"]:
            assert page.locator(f"#tab-{preset['state']['tab']}").get_attribute("aria-selected") == "true"
            continue
        rates = [one["lr"] for one in preset["state"]["optimizers"]]
        shown = f"[{THE_PLAYER}.scene.title, ...{THE_PLAYER}.scene.trajectories.map((one) => one.learningRate)]"
        until(page, f"String({shown}) === String(of)", [preset["state"]["surface"], *rates])
        assert not page.locator("#error").inner_text()
    assert page.get_by_role("button", name="Next", exact=True).is_disabled()
    page.get_by_role("button", name="Previous", exact=True).press("Enter")
    assert page.locator("#sentence").inner_text() == PRESETS[-2]["sentence"]
    select("Lesson", PRESETS[3]["name"])(page)
    assert page.locator("#sentence").inner_text() == PRESETS[3]["sentence"]


@pytest.mark.parametrize(
    "hash",
    [
        TWO + "&at=12&arrows=gradient,step&speed=20&hidden=1&rates=same&seed=3&noise=0.5&batch=2",
        ADAM + "&tilted=true&turn=60&tab=minima&tab.lr=0.1,+0.2",
        "#surface=yours&formula=x**2+%2B+3*sin(y)**2&view=-2,2,-1,1&start=1,0.5&steps=30"
        "&optimizer=adam,lr:0.1,beta1:0.5,schedule:staircase,schedule.every:9,decay:0.1",
        "#lesson=Sharp+and+flat&surface=sharp-and-flat&steps=500&optimizer=gradient_descent,lr:0.3",
    ],
)
def test_a_link_brings_everything_back(hash: str, lab: Any) -> None:
    look = f"""(() => {{
        const player = {THE_PLAYER};
        const known = [...document.querySelectorAll("input, select")].map((one) => [one.value, one.checked]);
        return [player.step, player.scene, known, document.querySelector("[aria-selected=true]").id];
    }})()"""
    page = lab(hash)
    field(page, "Seed").press("ArrowLeft")  # changes nothing
    said = address(page)
    again = lab(said)
    assert again.evaluate(look) == page.evaluate(look)
    assert address(again) == said
    assert dict(parse_qsl(hash[1:])).items() <= dict(parse_qsl(said[1:])).items()


def test_what_the_player_shows_is_in_the_address(lab: Any) -> None:
    page = lab(TWO)
    page.get_by_label("against the gradient (solid)").check()
    page.get_by_role("checkbox", name="momentum", exact=True).uncheck()
    page.get_by_label("Speed").select_option("200")
    page.evaluate(f"{THE_PLAYER}.seek(7)")
    assert address(page).endswith("&at=7&arrows=gradient&speed=200&hidden=1")
    page.get_by_label("Tilted view").check()
    page.get_by_label("Turn").fill("40")
    assert "&tilted=true" in address(page)
    assert address(page).endswith("&turn=40")


def test_the_step_stays_while_settings_are_compared(same_lab: Any) -> None:
    page = same_lab()
    page.evaluate(f"{THE_PLAYER}.seek(10)")
    redrawn(page, fill(RATE, "0.1"))
    assert page.evaluate(f"{THE_PLAYER}.step") == 10
    page.get_by_role("button", name="To start").click()
    assert page.evaluate(f"{THE_PLAYER}.step") == 0


def test_a_link_that_is_pasted(lab: Any) -> None:
    page = lab()
    redrawn(page, lambda page: page.evaluate(f"location.hash = {json.dumps(TWO)}"))
    assert [way["name"] for way in ways(page)] == ["gradient descent", "momentum"]


@pytest.mark.parametrize(
    ("hash", "left_out"),
    [
        (f"#surface={HOSTILE}&optimizer=adam", "surface"),
        (f"#lesson={HOSTILE}&surface=ravine&optimizer=adam", "lesson"),
        (f"#surface=ravine&optimizer={HOSTILE}", "optimizer"),
        ("#surface=ravine&optimizer=adam,lr:NaN", "optimizer"),
        ("#surface=ravine&optimizer=adam,__proto__:1", "optimizer"),
        ("#surface=ravine&optimizer=adam,schedule:cosine,schedule.constructor:1", "optimizer"),
        ("#surface=ravine&optimizer=adam&steps=1e99&seed=1.5&noise=-1&start=1", "noise, seed, start, steps"),
        (f"#surface=ravine&optimizer=adam&tab={HOSTILE}&tab.windows={HOSTILE}&at=x&turn=&speed={HOSTILE}",
         "tab, at, turn, speed"),
        ("#surface=yours&optimizer=adam&view=1,2&formula=" + "x" * 1001, "formula, view"),
        ("#surface=ravine&" + "&".join(["optimizer=adam"] * 40), "optimizer"),
    ],
)  # fmt: skip
def test_hostile_links_are_harmless(hash: str, left_out: str, lab: Any, troubles: list[str]) -> None:
    page = lab(hash.replace("<", "%3C"))
    notice = page.locator("#notice").inner_text()
    assert notice == f"Part of the link can't be read and was left out: {left_out}."
    assert page.locator("img").count() == 0
    assert page.evaluate("window.hacked") is None
    assert 1 <= len(ways(page)) <= 12
    assert not page.locator("#error").inner_text()
    forgive(troubles, "422")  # the tab's window is refused by the server


def test_a_formula_of_ones_own(same_lab: Any, troubles: list[str]) -> None:
    page = same_lab()
    redrawn(page, select("Surface", "yours"))
    formula = field(page, "Formula in x and y")
    redrawn(page, lambda _: formula.fill("x**2 + 3*y**2"))
    mine = Surface("mine", lambda x, y: x**2 + 3 * y**2, ((-3, 3), (-3, 3)), (-1.8, 1.8))
    expected = path(mine, "adam", lr=0.2, steps=60)
    np.testing.assert_allclose(ways(page)[0]["points"], expected.points, rtol=1e-5, atol=1e-12)
    redrawn(page, lambda page: page.locator("#view-1").fill("1"))
    assert page.evaluate(f"{THE_PLAYER}.scene.view") == [[-3, 1], [-3, 3]]
    before = ways(page)
    for bad in ("x**", "x + foo", "__import__('os')", HOSTILE):
        formula.fill(bad)
        until(page, "document.querySelector('#error').textContent.startsWith('The formula, ')")
        assert page.locator("#error").is_visible()
        assert ways(page) == before
        formula.fill("x**2 + y**2")
        until(page, "document.querySelector('#error').textContent === ''")
        before = ways(page)
    assert page.locator("img").count() == 0
    assert page.evaluate("window.hacked") is None
    forgive(troubles, "422")


def test_the_newest_change_wins(same_lab: Any) -> None:
    page = same_lab()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "descent" in request.url else None)
    page.get_by_label(f"{RATE}, slider").focus()
    for _ in range(20):
        page.keyboard.press("ArrowLeft")
    rate = float(page.get_by_label(RATE, exact=True).input_value())
    until(page, f"{THE_PLAYER}.scene.trajectories[0].learningRate === {rate}")
    assert rate == pytest.approx(0.2 * 10**-0.5, rel=0.1)
    assert len(asked) <= 20


def test_a_server_that_has_gone_is_said(lab: Any, troubles: list[str]) -> None:
    page = lab()
    page.route("**/api/descent", lambda route: route.abort())
    fill(RATE, "0.1")(page)
    until(page, "document.querySelector('#error').textContent.startsWith('The lab does not answer')")
    page.unroute("**/api/descent")
    redrawn(page, fill(RATE, "0.12"))
    assert not page.locator("#error").is_visible()
    forgive(troubles, "ERR_FAILED")


@pytest.mark.parametrize("clipboard", ["open", "closed"])
def test_copy_as_python_agrees(clipboard: str, lab: Any) -> None:
    hash = TWO + "&noise=1&seed=4&start=-3,1&optimizer=adam,lr:0.1,schedule:cosine,decay:0.1"
    page = lab(hash, permissions=["clipboard-read", "clipboard-write"])
    if clipboard == "closed":
        page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error()); }")
    page.get_by_role("button", name="Copy as Python").click()
    until(page, "document.querySelector('#copied').textContent !== ''")
    text = page.get_by_label("Python", exact=True).input_value()
    assert page.locator("#copied").inner_text().startswith("Copied" if clipboard == "open" else "The browser keeps")
    if clipboard == "open":
        assert page.evaluate("navigator.clipboard.readText()") == text
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(text, {})
    for line, way in zip(printed.getvalue().splitlines(), ways(page), strict=True):
        end, outcome = way["points"][-1], way["outcome"]
        assert f"({end[0]:.6g}, {end[1]:.6g})" in line
        assert line.endswith(outcome)
    redrawn(page, fill("Seed", "5"))
    assert not page.get_by_label("Python", exact=True).is_visible()


@pytest.mark.parametrize("look", ["", "&tilted=true"])
def test_pictures_are_saved(look: str, lab: Any, tmp_path: Path) -> None:
    page = lab(TWO + look)
    saved = {}
    for kind in ("SVG", "PNG"):
        with page.expect_download() as waiting:
            page.get_by_role("button", name=f"Save {kind}").click()
        assert waiting.value.suggested_filename == f"fallline-ravine.{kind.lower()}"
        waiting.value.save_as(tmp_path / kind)
        saved[kind] = (tmp_path / kind).read_bytes()
    picture = ET.fromstring(saved["SVG"])
    names = [element.tag.rpartition("}")[2] for element in picture.iter()]
    assert names.count("polyline") == (0 if look else 2)
    assert names.count("image") == (1 if look else 0)
    words = " ".join(picture.itertext())
    assert "gradient descent, learning rate 0.03; still moving after 60 steps" in words
    assert "class=" not in saved["SVG"].decode()
    assert "var(" not in saved["SVG"].decode()
    assert saved["PNG"].startswith(b"\x89PNG")
    assert int.from_bytes(saved["PNG"][16:20], "big") == 2 * int(picture.attrib["width"])


TABS: list[tuple[str, int, tuple[str, str] | None]] = [
    ("Averages", 7, ("Windows", "5")),
    ("Batch size", 3, ("Learning rate", "0.01")),
    ("Schedules", 8, ("Steps", "50")),
    ("Initialisation", 5, ("Layers", "4")),
    ("Sharp and flat", 4, ("Learning rates", "0.05, 0.2")),
]


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_tabs(by: str, lab: Any) -> None:
    page = lab()
    for number, (title, lines, _) in enumerate(TABS):
        if by == "mouse":
            page.get_by_role("tab", name=title).click()
        elif number:
            page.keyboard.press("ArrowRight")
        else:
            page.get_by_role("tab", name=title).focus()
        panel = page.get_by_role("tabpanel", name=title)
        panel.locator(".box path").nth(lines - 1).wait_for(state="attached")
        assert panel.locator(".box path").count() == lines
        assert page.get_by_role("tabpanel").count() == 1
        assert page.get_by_role("tab", selected=True).inner_text() == title
        panel.get_by_text("Numbers of the lines").click()
        assert panel.get_by_role("columnheader").count() > lines
        page.get_by_role("tab", name=title).focus()
    if by == "keyboard":
        page.keyboard.press("Home")
        assert page.get_by_role("tab", selected=True).inner_text() == "Averages"
        page.keyboard.press("ArrowLeft")
        assert page.get_by_role("tab", selected=True).inner_text() == "Live race"
    assert page.evaluate(f"{THE_PLAYER}.step") == 60  # the keys are the tabs' own


@pytest.mark.parametrize(("title", "lines", "change"), TABS)
def test_a_tabs_field(title: str, lines: int, change: tuple[str, str], same_lab: Any, troubles: list[str]) -> None:
    page = same_lab()
    page.get_by_role("tab", name=title).click()
    panel = page.get_by_role("tabpanel", name=title)
    first = panel.locator(".box path").first
    before = first.get_attribute("d")
    changed = panel.get_by_label(change[0], exact=True)
    changed.fill(change[1])
    drawn = "document.querySelector(`#${of[0]} .box path`)?.getAttribute('d')"
    until(page, f"{drawn} !== of[1]", [panel.get_attribute("id"), before])
    again = same_lab(address(page)).get_by_role("tabpanel", name=title)
    assert again.get_by_label(change[0], exact=True).input_value() == change[1]
    again.locator(".box path").first.wait_for(state="attached")
    assert again.locator(".box path").first.get_attribute("d") == first.get_attribute("d")
    changed.fill(HOSTILE)
    panel.get_by_role("alert").get_by_text("must be").wait_for()
    forgive(troubles, "422")


def test_no_races_to_see(lab: Any) -> None:
    page = lab(ADAM + "&tab=live")
    page.get_by_text("start the lab with --storage").wait_for()


def test_a_race_is_seen_live(open_page: Any, tmp_path: Path, troubles: list[str]) -> None:
    storage = str(tmp_path / "races.db")
    arms = ("adam", HOSTILE)
    spaces = {arm: {"lr": Range(1e-4, 1.0)} for arm in arms}
    store = open_store(storage, RaceCard(HOSTILE, "fingerprint", False, spaces, {"effort": {}, "seed": 0}, 8))

    def add(number: int, arm: str, valid: float) -> None:
        one = np.ones(1)
        outcome = Outcome(one.astype(int), one.astype(int), one, one, np.array([valid]), -1, np.nan)
        store.add("tune", {number: Run(arm, {"lr": 0.1}, 0, None, 1, 1)}, {number: outcome})  # type: ignore[arg-type]

    add(0, "adam", 0.5)
    with lab_of("--storage", storage) as link:
        page = open_page(link)
        page.goto(link + ADAM + "&tab=live")
        panel = page.get_by_role("tabpanel", name="Live race")
        panel.get_by_text("1 of 8 runs done; stage: tune.").wait_for(timeout=60_000)
        assert panel.get_by_role("row", name="adam 1 0 0.5").is_visible()
        add(1, "adam", 0.25)
        add(2, HOSTILE, 0.75)
        panel.get_by_text("3 of 8 runs done; stage: tune.").wait_for()
        assert panel.locator(".result > .scroll tbody th").all_inner_texts()[:2] == list(arms)
        assert panel.locator(".box path").count() == 2
        verdict = {"verdict": {"winner": HOSTILE}, "occasion": {"sentence": f"{HOSTILE} wins."}}
        store.remember("result", verdict)
        panel.get_by_text(f"{HOSTILE} wins.").wait_for()
        assert page.locator("img").count() == 0
        assert page.evaluate("window.hacked") is None
        page.close()
    store.close()


def test_what_was_tried_comes_back(lab: Any) -> None:
    page = lab()
    table = page.locator("#tried")
    table.get_by_role("link", name="1. ravine").wait_for()
    redrawn(page, fill(RATE, "0.1"))
    table.get_by_role("link", name="2. ravine").wait_for()
    assert [row.split("\t")[1:3] for row in table.locator("tbody").all_inner_texts()] == [
        ["adam", "0.1"],
        ["adam", "0.2"],
    ]
    redrawn(page, lambda _: table.get_by_role("link", name="1. ravine").click())
    assert ways(page)[0]["learningRate"] == 0.2


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
    from axe_playwright_python.sync_playwright import Axe

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
    found = Axe().run(page).response["violations"]
    serious = [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")]
    assert not serious
