"""The descent player in a browser: complete without scripts, played by mouse and keyboard, safe, and readable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fallline.landscape import path, surfaces
from fallline.pages.player import Scene, Trajectory, document, message, player, scene_of, script, stylesheet
from tests.browser.access import serious_violations

if TYPE_CHECKING:
    from playwright.sync_api import Page

STEPS = 40
PATHS = [
    path(surfaces.ravine, "sgd", lr=0.03, steps=STEPS),
    path(surfaces.ravine, "momentum", lr=0.01, steps=STEPS),
    path(surfaces.ravine, "sgd", lr=0.05, steps=STEPS),
]
SCENE = scene_of(surfaces.ravine, PATHS, start_movable=True)
OTHER = scene_of(surfaces.himmelblau, [path(surfaces.himmelblau, "adam", lr=0.1, steps=60)])
CURVE = scene_of(surfaces.sharp_and_flat, [path(surfaces.sharp_and_flat, "sgd", lr=0.02, steps=9)], start_movable=True)


def page_of(*scenes: Scene, policy: str = "") -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Descent</title>{policy}'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<style nonce="n">{stylesheet()}</style></head>'
        f"<body><main><h1>Descent</h1>{''.join(map(player, scenes))}</main>"
        f'<script nonce="n">{script()}</script></body></html>'
    )


HTML = page_of(SCENE)
THE_PLAYER = "window.fallline.player(document.querySelector('.fl-player'))"


def step_of(page: Page) -> int:
    return int(page.evaluate(f"{THE_PLAYER}.step"))


def drawn(page: Page) -> list[int]:
    """How many points of each trajectory are drawn."""
    return [len(str(line.get_attribute("points")).split()) for line in page.locator("polyline").all()]


def test_a_path_plays_in_a_notebook_and_keeps_to_its_frame(show: Any) -> None:
    page = show(f"<style>* {{ color: red }}</style><h1>Notebook</h1>{PATHS[0]._repr_html_()}")
    frame = page.frame_locator("iframe")
    assert frame.get_by_text("learning rate 0.03").is_visible()
    frame.get_by_role("button", name="To start").click()
    frame.get_by_role("button", name="Forward").click()
    assert len(str(frame.locator("polyline").get_attribute("points")).split()) == 2
    look = "(one) => getComputedStyle(one).color"
    assert (page.locator("h1").evaluate(look), frame.locator("figcaption").first.evaluate(look)) == (
        "rgb(255, 0, 0)", "rgb(26, 29, 33)",
    )  # fmt: skip


def test_a_page_of_players_needs_nothing_else(show: Any) -> None:
    page = show(document(SCENE, CURVE))
    assert page.title() == "ravine · sharp-and-flat"
    assert page.locator(".fl-controls:visible").count() == 2
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator(".fl-player").nth(1).get_by_role("button", name="To start").click()
    assert drawn(page) == [len(np.asarray(one.points)) for one in SCENE.trajectories] + [1]


@pytest.mark.parametrize("scene", [SCENE, OTHER, CURVE], ids=lambda scene: scene.title)
def test_without_scripts_the_first_frame_is_whole(scene: Scene, show: Any) -> None:
    page = show(page_of(scene), java_script_enabled=False)
    assert drawn(page) == [len(np.asarray(one.points)) for one in scene.trajectories]
    assert not page.locator(".fl-controls").is_visible()
    assert not page.locator("input:visible, button:visible, select:visible, canvas:visible").count()
    for one in scene.trajectories:
        assert page.get_by_text(f"learning rate {one.learning_rate:g}").is_visible()
        assert page.get_by_text(one.outcome, exact=True).first.is_visible()
    assert page.locator("[data-end]:visible").count() == 2 * len(scene.trajectories)
    assert page.locator(".fl-minimum:visible").count() == len(scene.minima)
    assert page.locator(".fl-band:visible").count() == (12 if scene.dimensions == 2 else 0)
    page.get_by_text("Numbers of the paths").click()
    assert page.locator("tbody").first.is_visible()


def test_points_in_the_page_are_those_computed(show: Any) -> None:
    page = show(HTML)
    shown = page.evaluate(f"{THE_PLAYER}.scene.trajectories.map((one) => [one.points, one.losses])")
    for (points, losses), found in zip(shown, PATHS, strict=True):
        np.testing.assert_allclose(points, found.points, rtol=1e-5)
        np.testing.assert_allclose(losses, found.losses, rtol=1e-3)
    places = page.evaluate(f"{THE_PLAYER}.trails.map((trail) => trail.places)")
    # The ravine's view is 10 by 5, its map 2000 by 1000 units, from the top left on.
    np.testing.assert_allclose(places[0], (PATHS[0].points - [-5, 2.5]) * [200, -200], atol=0.51)


@pytest.mark.parametrize(
    ("by", "what", "before", "after"),
    [
        ("click", "To start", 10, 0),
        ("click", "Back", 10, 9),
        ("click", "Forward", 10, 11),
        ("click", "To end", 10, STEPS),
        ("click", "Back", 0, 0),
        ("click", "Forward", STEPS, STEPS),
        ("press", "Home", 10, 0),
        ("press", "End", 10, STEPS),
        ("press", "ArrowLeft", 10, 9),
        ("press", "ArrowRight", 10, 11),
        ("on the slider", "ArrowRight", 10, 11),
        ("on the slider", "Home", 10, 0),
        ("on a button", "ArrowLeft", 10, 9),
        ("on a button", "Space", 10, 11),  # the button's own key: Forward
        ("on the speed", "End", 10, 10),  # the menu's own key
    ],
)
def test_steps_by_mouse_and_keyboard(by: str, what: str, before: int, after: int, show: Any) -> None:
    page = show(HTML)
    page.evaluate(f"{THE_PLAYER}.seek({before})")
    if by == "click":
        page.get_by_role("button", name=what, exact=True).click()
    else:
        places = {
            "press": "[data-stage]",
            "on the slider": "[data-control=scrub]",
            "on a button": "[data-control=forward]",
            "on the speed": "[data-control=speed]",
        }
        page.locator(places[by]).press(what)
    assert step_of(page) == after
    assert drawn(page) == [after + 1] * 3
    slider = page.get_by_label("Step", exact=True)
    assert slider.input_value() == str(after)
    assert slider.get_attribute("aria-valuetext") == f"step {after} of {STEPS}"
    assert page.locator("[data-end]:visible").count() == (6 if after == STEPS else 0)
    if by != "on the speed":
        assert page.locator("[aria-live=polite]").inner_text().startswith(f"Step {after} of {STEPS}. ")


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_plays_and_pauses(by: str, show: Any) -> None:
    page = show(HTML)

    def toggle() -> None:
        if by == "mouse":
            page.locator("[data-control=play]").click()
        else:
            page.locator("[data-stage]").press("Space")

    page.get_by_label("Speed").select_option("5")  # far from the end, however slow the machine
    toggle()
    page.wait_for_function(f"{THE_PLAYER}.step > 0 && {THE_PLAYER}.step < {STEPS}")
    assert page.locator("[data-control=play]").inner_text() == "Pause"
    toggle()
    paused = step_of(page)
    assert drawn(page) == [paused + 1] * 3
    page.evaluate("new Promise((done) => setTimeout(done, 100))")
    assert step_of(page) == paused
    assert page.locator("[data-control=play]").inner_text() == "Play"


def test_a_jump_while_it_plays_is_the_last_word(show: Any) -> None:
    page = show(HTML)
    frames = "await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    jump = f"const player = {THE_PLAYER}; player.seek(5); player.play(); {frames}; player.seek(2); {frames}"
    assert page.evaluate(f"(async () => {{ {jump}; return [player.step, player.playing]; }})()") == [2, False]


def test_keys_that_play_do_not_scroll(show: Any) -> None:
    page = show(HTML, viewport={"width": 400, "height": 300})
    page.locator("[data-stage]").focus()
    before = page.evaluate("scrollY")
    for key in ("End", "Space", "Space"):
        page.keyboard.press(key)
    page.evaluate("new Promise((done) => setTimeout(done, 100))")
    assert page.evaluate("scrollY") == before


def test_plays_to_the_end_and_measures_its_frames(show: Any) -> None:
    page = show(HTML)
    page.get_by_label("Speed").select_option("200")
    page.evaluate(f"window.frames_ = []; {THE_PLAYER}.on('frame', (frame) => window.frames_.push(frame))")
    page.get_by_role("button", name="Play").click()
    page.wait_for_function(f"!{THE_PLAYER}.playing")
    assert step_of(page) == STEPS
    frames = page.evaluate("window.frames_")
    assert frames
    assert all(frame["interval"] > 0 and frame["work"] >= 0 for frame in frames)


def test_the_state_in_words(show: Any) -> None:
    page = show(HTML)
    page.evaluate(f"{THE_PLAYER}.seek(1)")
    words = page.locator("[aria-live=polite]")
    assert words.inner_text() == (
        f"Step 1 of {STEPS}. gradient descent 0.03: loss {PATHS[0].losses[1]:.3g}. momentum: loss "
        f"{PATHS[1].losses[1]:.3g}. gradient descent 0.05: loss {PATHS[2].losses[1]:.3g}."
    )
    page.evaluate(f"{THE_PLAYER}.seek({STEPS})")
    assert PATHS[2].description in words.inner_text()
    assert "effective step size x 0.03, y 0.03" in page.locator(".fl-key").inner_text()


def test_arrows_lead_where_the_path_goes(show: Any) -> None:
    page = show(HTML)
    page.evaluate(f"{THE_PLAYER}.seek(3)")
    assert page.locator("[data-arrow][d^=M]").count() == 0
    for name in ("gradient", "momentum", "step"):
        page.locator(f"[data-toggle={name}]").check()
    arrows = page.evaluate(
        "[...document.querySelectorAll('[data-arrow]')].map((one) => (one.getAttribute('d') || '').match(/[-\\d.]+/g))"
    )
    descent, none, step, *momentum = [None if one is None else np.array(one[:4], float) for one in arrows[:6]]
    assert none is None  # gradient descent has no momentum

    def direction(arrow: Any) -> float:
        return float(np.degrees(np.arctan2(arrow[3] - arrow[1], arrow[2] - arrow[0])))

    assert direction(descent) == pytest.approx(direction(step), abs=1.5)
    down = -PATHS[1].states["b"][3] * [1, -1]  # y runs downwards
    assert direction(momentum[1]) == pytest.approx(np.degrees(np.arctan2(down[1], down[0])), abs=1)


def test_arrows_are_offered_where_there_are_any(show: Any) -> None:
    plain = [Trajectory("way", [[0, 0], [1, 1]], [2, 1])]
    page = show(page_of(Scene("", SCENE.view, SCENE.heights, plain)))
    assert page.get_by_label("to the next point").is_visible()
    assert not page.get_by_label("along the momentum").is_visible()
    page.evaluate(f"(scene) => {THE_PLAYER}.update(scene)", message(SCENE))
    assert page.get_by_label("along the momentum").is_visible()


def test_trajectories_are_hidden_and_stay_hidden(show: Any) -> None:
    page = show(HTML)
    page.get_by_role("checkbox", name="momentum", exact=True).uncheck()
    assert [line.is_visible() for line in page.locator("polyline").all()] == [True, False, True]
    assert page.locator(".fl-chart [data-trail='1']:visible").count() == 0
    page.evaluate(f"(scene) => {THE_PLAYER}.update(scene)", message(SCENE))
    assert not page.get_by_role("checkbox", name="momentum", exact=True).is_checked()
    assert [line.is_visible() for line in page.locator("polyline").all()] == [True, False, True]


@pytest.mark.parametrize("scene", [OTHER, CURVE], ids=lambda scene: scene.title)
def test_another_scene_without_a_reload(scene: Scene, show: Any) -> None:
    page = show(HTML)
    page.evaluate(f"(scene) => {THE_PLAYER}.update(scene)", message(scene))
    assert page.locator("figcaption").first.inner_text() == scene.title
    assert drawn(page) == [len(np.asarray(one.points)) for one in scene.trajectories]
    page.get_by_role("button", name="To start").click()
    assert drawn(page) == [1]
    fresh = show(page_of(scene))
    for part in ("ground", "trails", "labels", "key", "charts", "tables"):
        fresh.evaluate(f"{THE_PLAYER}.seek(0)")
        html = f"document.querySelector('[data-part={part}]').innerHTML.trim()"
        assert page.evaluate(html) == fresh.evaluate(html), part


def test_players_of_one_page_are_apart(show: Any) -> None:
    page = show(page_of(SCENE, OTHER))
    page.get_by_role("button", name="To start").nth(1).click()
    players = "[...document.querySelectorAll('.fl-player')].map((one) => window.fallline.player(one).step)"
    assert page.evaluate(players) == [STEPS, 0]


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("drag", (0, 0)),
        ("click", (0, 0)),
        ("ArrowRight", (-3.9, 1.5)),
        ("ArrowUp", (-4, 1.55)),
        ("Shift+ArrowDown", (-4, 1)),
    ],
)
def test_the_start_moves(by: str, expected: tuple[float, float], show: Any) -> None:
    page = show(HTML)
    page.evaluate(f"window.starts = []; {THE_PLAYER}.on('start', (start) => window.starts.push(start))")
    page.evaluate(f"{THE_PLAYER}.seek(10)")
    handle = page.get_by_role("button", name="Start at -4, 1.5. The arrow keys move it.")
    stage = page.locator("[data-stage]").bounding_box()
    middle = (stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2)
    if by == "drag":
        handle.hover()
        page.mouse.down()
        page.mouse.move(*middle, steps=3)
        page.mouse.up()
    elif by == "click":
        page.mouse.click(*middle)
    else:
        handle.press(by)
    assert step_of(page) == 10
    starts = page.evaluate("window.starts")
    assert (starts[-1]["x"], starts[-1]["y"]) == pytest.approx(expected, abs=0.05 if by in ("drag", "click") else 1e-9)
    assert [start["moving"] for start in starts] == ([True] * 3 + [False] if by == "drag" else [False])


def test_the_start_of_a_curve_moves_along_it(show: Any) -> None:
    page = show(page_of(CURVE))
    page.evaluate(f"window.starts = []; {THE_PLAYER}.on('start', (start) => window.starts.push(start))")
    page.locator(".fl-handle").press("ArrowRight")
    assert page.evaluate("window.starts") == [{"x": -2.2, "y": 0, "moving": False}]


def test_the_tilted_view_is_drawn(show: Any) -> None:
    page = show(HTML)
    page.get_by_label("Tilted view").check()
    colours = """(() => {
        const canvas = document.querySelector("canvas");
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        const seen = new Set();
        for (let at = 0; at < data.length; at += 4) if (data[at + 3] === 255) seen.add(data.slice(at, at + 3).join());
        return [...seen];
    })()"""
    seen = page.evaluate(colours)
    assert "0,114,178" in seen  # the first trajectory
    assert len(seen) > 20  # and the bands
    before = page.evaluate("document.querySelector('canvas').toDataURL()")
    page.get_by_label("Turn").fill("40")
    assert page.evaluate("document.querySelector('canvas').toDataURL()") != before
    page.evaluate(f"(scene) => {THE_PLAYER}.update(scene)", message(CURVE))
    assert not page.locator("canvas").is_visible()


HOSTILE = "</script><img src=x onerror=window.hacked=1><!-- \"'&amp;{{7*7}}"


def test_hostile_names_do_nothing(show: Any) -> None:
    trajectories = [Trajectory(HOSTILE, one.points, one.losses, outcome=HOSTILE) for one in SCENE.trajectories]
    scene = Scene(HOSTILE, SCENE.view, SCENE.heights, trajectories, axes=(HOSTILE, HOSTILE))
    page = show(page_of(scene))
    page.evaluate(f"(scene) => {THE_PLAYER}.update(scene)", message(scene))
    page.get_by_role("button", name="Back", exact=True).click()
    assert page.locator("img").count() == 0
    assert page.evaluate("window.hacked") is None
    assert page.locator("figcaption").first.inner_text() == HOSTILE
    assert page.evaluate(f"{THE_PLAYER}.trails[0].outcome") == HOSTILE


def test_a_strict_policy_lets_it_play(show: Any) -> None:
    rules = "default-src 'none'; script-src 'nonce-n'; style-src 'nonce-n'"
    page = show(page_of(SCENE, policy=f'<meta http-equiv="Content-Security-Policy" content="{rules}">'))
    page.evaluate(f"(scene) => {THE_PLAYER}.update(scene)", message(CURVE))  # the policy reports what it stops
    page.get_by_role("button", name="To start").click()
    assert step_of(page) == 0


def test_paper_shows_the_whole(show: Any) -> None:
    page = show(HTML)
    page.evaluate(f"{THE_PLAYER}.seek(3)")
    page.evaluate(
        "addEventListener('beforeprint', () => (window.printed = document.querySelector('polyline').points.length))"
    )
    assert page.pdf().startswith(b"%PDF")
    assert page.evaluate("window.printed") == STEPS + 1
    assert step_of(page) == 3


def test_reduced_motion_begins_slowly(show: Any) -> None:
    page = show(HTML, reduced_motion="reduce")
    assert page.get_by_label("Speed").input_value() == "5"
    assert not page.evaluate(f"{THE_PLAYER}.playing")


LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "narrow": {"viewport": {"width": 320, "height": 640}},
    # A browser's zoom of 200 % halves the page's width and doubles its pixels.
    "zoomed": {"viewport": {"width": 640, "height": 400}, "device_scale_factor": 2},
}


@pytest.mark.parametrize("look", LOOKS)
def test_looks(look: str, show: Any) -> None:
    page = show(page_of(SCENE, CURVE), **LOOKS[look])
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    background = page.locator(".fl-player").first.evaluate("(one) => getComputedStyle(one).backgroundColor")
    assert background == ("rgb(20, 24, 30)" if look == "dark" else "rgb(255, 255, 255)")
    for details in page.locator("summary").all():
        details.click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert serious_violations(page) == []


@pytest.mark.parametrize(("theme", "background"), [("light", "rgb(255, 255, 255)"), ("dark", "rgb(20, 24, 30)")])
def test_a_theme_overrides_the_system(theme: str, background: str, show: Any) -> None:
    page = show(HTML, color_scheme="light" if theme == "dark" else "dark")
    page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
    assert page.locator(".fl-player").evaluate("(one) => getComputedStyle(one).backgroundColor") == background


def test_focus_is_seen(show: Any) -> None:
    page = show(HTML)
    for _ in range(6):
        page.keyboard.press("Tab")
        assert page.evaluate("getComputedStyle(document.activeElement).outline").endswith("solid 3px")


@pytest.mark.parametrize(
    ("html", "trouble"),
    [
        ("<script>console.error('no')</script>", "console: no"),
        ("<script>throw new Error('no')</script>", "error: no"),
        ("<script src='http://127.0.0.1:9/x.js'></script>", "request to http://127.0.0.1:9/x.js"),
    ],
)
def test_trouble_on_a_page_is_noticed(html: str, trouble: str, show: Any, troubles: list[str]) -> None:
    show(html)
    assert trouble in troubles
    troubles.clear()


def test_a_map_without_steps_offers_nothing_to_play(show: Any) -> None:
    still = Scene("map", ((0, 1), (0, 1)), [[0.0, 1.0], [1.0, 2.0]])
    page = show(page_of(still, SCENE))
    first, second = page.locator(".fl-player").all()
    assert not first.get_by_role("button", name="Play").count()
    assert not first.get_by_role("slider", name="Step").count()
    assert first.get_by_label("Tilted view").is_visible()
    assert second.get_by_role("button", name="Play").is_visible()
