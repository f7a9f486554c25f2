"""What draws a race is found by name, and others can add to it."""

from __future__ import annotations

from pathlib import Path

import pytest

import fallline as fl
from fallline.problems import find
from fallline.racing import Effort, RaceResult, add_renderer, renderers


@pytest.fixture(scope="module")
def result() -> RaceResult:
    return fl.race(find("beale").make(), ["sgd", "adam"], Effort(2, 1, 2), storage=None, training="in turn")


@pytest.fixture(autouse=True)
def entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renderers, "_ENTRY_POINTS", dict(renderers._ENTRY_POINTS))


def test_another_package_draws_a_race(result: RaceResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stars_of_mine.py").write_text("def draw(result, star): return star * len(result.arms)\n")
    add_renderer("stars", "stars_of_mine:draw")
    monkeypatch.syspath_prepend(str(tmp_path))  # after it was added: it is imported when it is asked for
    assert result.render("stars", "*") == "**"


def test_a_form_can_be_replaced(result: RaceResult) -> None:
    add_renderer("text", "builtins:repr")
    assert str(result) == repr(result)


def test_each_form_is_there(result: RaceResult, tmp_path: Path) -> None:
    for name in renderers._ENTRY_POINTS:
        assert callable(renderers.renderer(name)), name
    assert result.render("json") == result.to_json()
    assert result.render("text") == str(result)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("jsom", "did you mean .json."),
        ("zzzzzz", "there are text, html, json, frame, tensorboard, report, figure$"),
    ],
)
def test_a_form_that_is_not_there(result: RaceResult, name: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        result.render(name)


@pytest.mark.parametrize("entry_point", ["json", "json:", ":dumps", ""])
def test_what_is_no_entry_point(entry_point: str) -> None:
    with pytest.raises(ValueError, match=r"^entry_point must be 'module:function'; got"):
        add_renderer("mine", entry_point)
