"""What leads to a picture: lessons, links, good ones and hostile ones, and what was tried before."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest

from fallline.lab.presets import PRESETS
from tests.browser.lab.actions import (
    ADAM,
    HOSTILE,
    RATE,
    THE_PLAYER,
    TWO,
    address,
    field,
    fill,
    forgive,
    redrawn,
    select,
    until,
    ways,
)

if TYPE_CHECKING:
    pass


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
