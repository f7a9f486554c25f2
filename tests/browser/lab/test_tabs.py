"""The small experiments below the picture, and a race as it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fallline.racing.runs import Outcome, Run
from fallline.racing.storage.races import Card
from fallline.racing.storage.store import open_store
from tests.browser.lab.actions import (
    ADAM,
    HOSTILE,
    THE_PLAYER,
    address,
    forgive,
    lab_of,
    until,
)

if TYPE_CHECKING:
    pass


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
    spaces: dict[str, dict[str, Any]] = {arm: {} for arm in arms}
    store = open_store(storage, Card(HOSTILE, "p", "q", False, spaces, {"effort": {}, "seed": 0}, 8))

    def add(number: int, arm: str, valid: float) -> None:
        one = np.ones(1)
        outcome = Outcome(one.astype(int), one.astype(int), one, one, np.array([valid]), -1, np.nan)
        store.add("tune", {number: f"k{number}"}, {number: Run(arm, {"lr": 0.1}, 0, None, 1, 1)}, {number: outcome})  # type: ignore[arg-type]

    add(0, "adam", 0.5)
    with lab_of("--storage", storage) as link:
        page = open_page(link)
        page.goto(link + ADAM + "&tab=live")
        panel = page.get_by_role("tabpanel", name="Live race")
        panel.get_by_text("1 of 8 runs done; stage: tune.").wait_for(timeout=120_000)
        assert panel.get_by_role("row", name="adam 1 0 0.5").is_visible()
        add(1, "adam", 0.25)
        add(2, HOSTILE, 0.75)
        panel.get_by_text("3 of 8 runs done; stage: tune.").wait_for()
        assert panel.locator(".result > .scroll tbody th").all_inner_texts()[:2] == list(arms)
        assert panel.locator(".box path").count() == 2
        store.answer(
            {"decision": {"winner": HOSTILE}, "occasion": {"lines": [f"Take {HOSTILE}.", f"{HOSTILE}: here."]}}
        )
        panel.get_by_text(f"Take {HOSTILE}.").wait_for()
        assert panel.get_by_role("listitem").first.inner_text() == f"{HOSTILE}: here."
        assert page.locator("img").count() == 0
        assert page.evaluate("window.hacked") is None
        page.close()
    store.close()
