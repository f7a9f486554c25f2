"""A picture as a program and as a file."""

from __future__ import annotations

import contextlib
import io
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.lab.actions import (
    TWO,
    fill,
    redrawn,
    until,
    ways,
)

if TYPE_CHECKING:
    pass


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
