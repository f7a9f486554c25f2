"""Lessons as such, and their results: by number, printed, kept without loss, and bundled with the package."""

from __future__ import annotations

import inspect
import json
import math
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fallline as fl
from fallline.lessons import LESSONS, Check, Evidence, Lesson, Result, exact, measured, verdict_of
from fallline.lessons.kept import BUNDLED, from_data, keep, kept, to_data
from fallline.lessons.page import lessons_page
from fallline.pages.charts.picture import Axis, Mark, Picture, Table
from fallline.pages.player import Scene, Trajectory

CHART = Picture(
    "Loss", {"step": Axis("step", True, view=(1.0, 9.0))}, Axis("loss", ticks=("a", "b")),
    (Mark("band", 1, {"step": np.array([1.0, np.nan])}, np.array([math.inf, -0.0]), np.array([1 / 3, 2.0])),),
    {1: "sgd"}, Table(("step",), (("1",),)), notes=("a note",), upright=(2.0, "here"),
)  # fmt: skip
MAP = Scene(
    "Paths", ((0, 1), (0, 2)), np.array([[1.0, np.nan], [1e-300, 4.0]]),
    [Trajectory("sgd", [[0.0, 1.0], [0.1, 0.9]], [2.0, 1.5], 0.1, outcome_step=1)], minima=[(0.5, 0.5)], start=(0, 1),
)  # fmt: skip

HOLDS, OPEN, DENIED = exact("a", 1.0, above=0.0), measured("a", [-1.0, 1.0], above=0.0), exact("a", -1.0, above=0.0)


def result_of(picture: object, *checks: Check) -> Result:
    evidence = Evidence("Somewhere.", checks or (exact("steps", math.nan, below=3.0),), picture, "Seen besides.")
    return Result(LESSONS[0], evidence, {"seeds": 3, "rule": "sgd"}, 12.34, {"fallline": "1"}, "2026-01-02T03:04:05")


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal through and through, arrays to the bit, tuples and lists alike."""
    if is_dataclass(one) and type(one) is type(other):
        return all(same(getattr(one, part.name), getattr(other, part.name)) for part in fields(one))
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and one.tobytes() == other.tobytes() and one.shape == other.shape
    if isinstance(one, Mapping):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    return bool(one == other) or (one != one and other != other)


def test_lessons_have_numbers_of_their_own_in_order() -> None:
    numbers = [lesson.number for lesson in LESSONS]
    assert numbers == sorted(set(numbers))
    assert fl.lessons.LESSONS is LESSONS


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: str(lesson.number))
def test_a_lesson_is_told_in_sentences_and_run_by_names(lesson: Lesson) -> None:
    assert lesson.claim.endswith(".")
    assert lesson.try_next.endswith((".", "?"))
    assert not lesson.title.endswith(".")
    assert any(character.isdigit() for character in lesson.source), "the source has no year"
    parameters = inspect.signature(lesson.experiment).parameters.values()
    assert all(one.kind is one.KEYWORD_ONLY and one.default is not one.empty for one in parameters)
    documentation = inspect.cleandoc(lesson.experiment.__doc__ or "")
    assert all(f"    {one.name}: " in documentation for one in parameters)


@pytest.mark.parametrize("picture", [CHART, MAP], ids=["chart", "map"])
def test_a_result_is_kept_without_loss(picture: object, tmp_path: Path) -> None:
    result = result_of(picture, exact("a", math.inf, above=1.0), measured("b", [1.0, 2.0], below=3.0, condition="c"))
    file = keep(result, tmp_path / "new" / "folder")
    assert file.name == f"{LESSONS[0].number:02}.json"
    again = kept(LESSONS[0].number, file.parent)
    assert again is not None
    assert same(replace(again, seconds=result.seconds), result)
    assert again.seconds == 12.3
    assert kept(LESSONS[0].number, tmp_path) is None


def test_a_file_is_strict_json(tmp_path: Path) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads(keep(result_of(MAP), tmp_path).read_text("utf-8"), parse_constant=refuse)


@pytest.mark.parametrize("text", ["", "[]", '{"lesson": 1}', '{"lesson": 1, "evidence": {"is": "Gift"}}'])
def test_a_file_that_holds_no_result_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "01.json").write_text(text)
    with pytest.raises(ValueError, match=r"01\.json holds no result of a lesson that this version reads; delete it"):
        kept(1, tmp_path)


def test_what_can_not_be_kept_is_refused() -> None:
    with pytest.raises(TypeError, match="a result holds numbers, texts, arrays and pictures; got object"):
        to_data(result_of(object()))


def test_a_result_prints_its_numbers() -> None:
    text = str(result_of(CHART, exact("steps", 2.0, below=3.0), measured("loss", [1.0, 1.0, 1.3], below=1.05)))
    assert text.startswith(f"Lesson {LESSONS[0].number}, {LESSONS[0].title}: the claim was not shown to hold.\n")
    assert "- steps: 2, claimed to be below 3: holds\n" in text
    assert "- loss: 1.1 (0.67 to 1.53), claimed to be below 1.05: open\n" in text
    assert text.endswith("Measured 2026-01-02 in 12 s with fallline 1; changed: seeds = 3 and rule = 'sgd'.")


@pytest.mark.parametrize(
    ("check", "found", "outcome"),
    [
        (exact("a", 1.0, above=0.0), "1", "holds"),
        (exact("a", 0.0, above=0.0), "0", "does not hold"),
        (exact("a", math.nan, above=0.0), "nan", "open"),
        (measured("a", [1.0, 3.0], above=0.0), "2 (-10.7 to 14.7)", "open"),
        (measured("a", [0.1, 10.0, 1.0], below=1e3, ratio=True), "1 (0.00328 to 305)", "holds"),
        (measured("a", [1.0, math.inf], above=0.0), "inf, not all finite", "open"),
        (measured("a", [0.0, 1.0], above=0.0, ratio=True), "0.5, not all finite", "open"),
    ],
)
def test_what_a_check_tells(check: Check, found: str, outcome: str) -> None:
    assert (check.found, check.outcome) == (found, outcome)


@pytest.mark.parametrize(
    ("checks", "finding"),
    [
        ([HOLDS], "holds"),
        ([OPEN], "was not shown to hold"),
        ([OPEN, DENIED], "does not hold here"),
        ([HOLDS, OPEN], "was not shown to hold"),
        ([HOLDS, replace(OPEN, condition="there")], "holds under these conditions"),
        ([OPEN, replace(DENIED, condition="there")], "does not hold here"),
    ],
)
def test_what_nothing_contradicts_is_not_told_as_refuted(checks: list[Check], finding: str) -> None:
    """In every place where a verdict is told: printed, on the page, in the list and in the documentation."""
    result = result_of(CHART, *checks)
    assert result.finding == finding
    assert str(result).startswith(f"Lesson 1, {result.lesson.title}: the claim {finding}.\n")
    page = lessons_page([(result, "Run here.")])
    badges = re.findall(r'<span class="badge (\w+)">(.*?)</span>', page)
    assert len(badges) == 2
    assert {told for _, told in badges} == {finding}
    assert f".badge.{badges[0][0]}::before" in page
    assert ("1 could not be shown to hold" in page) == (finding == "was not shown to hold")


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"number": 0}, LookupError, "number must be a lesson's, 1"),
        ({"number": 1, "colour": 3}, TypeError, "lesson 1 has no setting 'colour'; its settings are seeds"),
    ],
)
def test_what_can_not_be_run_is_told(changes: dict[str, Any], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        fl.lessons.run(**changes)


def test_every_bundled_file_is_of_a_lesson() -> None:
    assert {file.name for file in BUNDLED.iterdir()} <= {f"{lesson.number:02}.json" for lesson in LESSONS}


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: str(lesson.number))
def test_a_bundled_verdict_is_what_its_checks_say(lesson: Lesson) -> None:
    data = json.loads((BUNDLED / f"{lesson.number:02}.json").read_text("utf-8"))
    result = from_data(data)
    assert (result.lesson, result.changed) == (lesson, {})
    assert data["verdict"] == result.verdict == verdict_of(result.evidence.checks)
