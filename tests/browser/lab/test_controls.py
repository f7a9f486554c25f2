"""Each control by mouse and by keyboard: the page draws the path that Python walks, and a link brings it back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fallline import rules, schedules
from fallline.landscape import Surface, path, surfaces
from tests.browser.lab.actions import (
    HOSTILE,
    RATE,
    THE_PLAYER,
    TWO,
    Act,
    address,
    both,
    button,
    card,
    eventually,
    field,
    fill,
    follow,
    forgive,
    opened,
    pressed,
    radio,
    redrawn,
    select,
    typed,
    until,
    ways,
)

if TYPE_CHECKING:
    pass

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

    def agrees() -> None:
        (shown,) = ways(page)
        assert len(shown["points"]) == len(found.points)
        np.testing.assert_allclose(shown["points"], found.points, rtol=1e-5, atol=1e-12)
        assert shown["outcome"] == found.description

    eventually(agrees)
    follow(page, address(page))
    eventually(agrees)


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (radio("the same for all"), [("gradient descent", 0.03), ("momentum", 0.03)]),
        (both(radio("the same for all"), fill("Learning rate of momentum, number 2", "0.02")),
         [("gradient descent", 0.02), ("momentum", 0.02)]),
        (both(select("One more", "rmsprop"), button("Add")),
         [("gradient descent", 0.03), ("momentum", 0.01), ("rmsprop", 0.1)]),
        (both(lambda page: page.get_by_label("One more").press("p"), pressed("One more", "Tab"),
              lambda page: page.keyboard.press("Enter")),
         [("gradient descent", 0.03), ("momentum", 0.01), ("prodigy", 1)]),
        (button("Remove gradient descent, number 1"), [("momentum", 0.01)]),
        (lambda page: page.get_by_role("button", name="Remove momentum").press("Enter"), [("gradient descent", 0.03)]),
    ],
)  # fmt: skip
def test_optimizers_and_whose_rates_hold(act: Act, expected: list[tuple[str, float]], same_lab: Any) -> None:
    page = same_lab(TWO)
    redrawn(page, act)

    def agree() -> None:
        assert [(way["name"], way["learningRate"]) for way in ways(page)] == expected

    eventually(agree)
    shown = [f"{name} learning rate {rate:g}" for name, rate in expected]
    keys = [" ".join(key.inner_text().split()) for key in page.locator(".fl-key li").all()]
    assert all(key.startswith(words) for key, words in zip(keys, shown, strict=True))
    rates = [float(one.input_value()) for one in page.locator("#optimizers > li > .slider [type=number]").all()]
    assert rates == [rate for _, rate in expected]
    before = ways(page)
    follow(page, address(page))
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
    redrawn(page, fill("Condition number", "10"))
    assert page.locator("#surface-equation").inner_text() == "f(x, y) = (x² + 10 y²) / 2"


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


def test_the_picture_follows_a_start_that_is_dragged(lab: Any) -> None:
    page = lab()
    stage = page.locator("[data-stage]").bounding_box()
    page.locator(".fl-handle").hover()
    page.mouse.down()
    redrawn(page, lambda page: page.mouse.move(stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 4))
    assert ways(page)[0]["points"][0] == pytest.approx([0, 1.25], abs=0.05)
    page.mouse.move(stage["x"] + stage["width"] / 4, stage["y"] + stage["height"] / 2)
    redrawn(page, lambda page: page.mouse.up())
    x, y = ways(page)[0]["points"][0]
    assert (x, y) == pytest.approx((-2.5, 0), abs=0.05)
    assert [float(field(page, axis).input_value()) for axis in "xy"] == [x, y]
    assert f"start={x:g},{y:g}" in address(page)


def test_the_step_stays_while_settings_are_compared(same_lab: Any) -> None:
    page = same_lab()
    page.evaluate(f"{THE_PLAYER}.seek(10)")
    redrawn(page, fill(RATE, "0.1"))
    assert page.evaluate(f"{THE_PLAYER}.step") == 10
    page.get_by_role("button", name="To start").click()
    assert page.evaluate(f"{THE_PLAYER}.step") == 0


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


def test_another_window_takes_no_picture_away(lab: Any, troubles: list[str]) -> None:
    page = lab()
    refusal = {"status": 409, "json": {"error": "A newer request took this one's place."}}
    page.route("**/api/descent", lambda route: route.fulfill(**refusal), times=1)
    redrawn(page, fill(RATE, "0.1"))
    assert ways(page)[0]["learningRate"] == 0.1
    assert not page.locator("#error").is_visible()
    forgive(troubles, "409")


def test_a_server_that_has_gone_is_said(lab: Any, troubles: list[str]) -> None:
    page = lab()
    page.route("**/api/descent", lambda route: route.abort())
    fill(RATE, "0.1")(page)
    until(page, "document.querySelector('#error').textContent.startsWith('The lab does not answer')")
    page.unroute("**/api/descent")
    redrawn(page, fill(RATE, "0.12"))
    assert not page.locator("#error").is_visible()
    forgive(troubles, "ERR_FAILED")
