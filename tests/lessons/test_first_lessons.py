"""Lessons 1 to 5: each runs small, tells the same numbers as its bundled result, and its verdict turns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fallline.lessons import run
from fallline.lessons.pictures import intervals, lines
from fallline.lessons.populations import lane, trained, watched_on_training
from fallline.problems import breast_cancer
from tests.lessons.bundled import assert_told_as_bundled

#: Settings that make a lesson short.
QUICK: dict[int, dict[str, Any]] = {
    1: {"seeds": 3, "examples": 20},
    2: {"seeds": 3, "epochs": 1},
    3: {"seeds": 3, "steps": 60},
    4: {"seeds": 3},
    5: {"seeds": 9, "steps": 90},
}

#: A lesson, what makes its claim false, and the verdict then.
FLIPS: list[tuple[int, dict[str, Any], str]] = [
    (1, {"stretch": 3.0}, "does not hold here"),
    (2, {"mini": 1}, "does not hold here"),
    (3, {"rule": "momentum"}, "does not hold here"),
    (4, {"scale": 1.0}, "does not hold here"),
    (5, {"noise": 0.0}, "does not hold here"),
]


@pytest.mark.parametrize("number", QUICK)
def test_a_short_run_tells_the_numbers_of_the_bundled_result(number: int) -> None:
    assert_told_as_bundled(run(number, **QUICK[number]))


@pytest.mark.parametrize(("number", "changes", "verdict"), FLIPS)
def test_a_false_claim_is_found_to_be(number: int, changes: dict[str, Any], verdict: str) -> None:
    result = run(number, **QUICK[number], **changes)
    assert result.verdict == verdict, str(result)


def test_the_limit_on_quadratics_is_two_over_the_curvature() -> None:
    found = {
        check.what: check for check in run(3, **QUICK[3], past=1.01).evidence.checks if "ravine" in check.condition
    }
    assert found["highest loss at 0.95"].estimate == 1
    # Each step multiplies the steep coordinate by 1 - 2 * 1.01.
    assert 0.7 * 1.02**120 < found["highest loss at 1.01"].estimate < 1.02**120


@pytest.mark.parametrize("seeds", [1, 4])
def test_lines_are_medians_of_what_is_finite(seeds: int) -> None:
    runs = np.arange(seeds)[:, None] + np.array([[3.0, 2.0, np.nan]])
    picture = lines("Loss", "step", "loss", {"sgd": ([0, 1, 2], runs)}, log_y=True)
    (line,) = (mark for mark in picture.marks if mark.kind == "line")
    np.testing.assert_array_equal(line.y, [3 + (seeds - 1) / 2, 2 + (seeds - 1) / 2, np.nan])
    assert {mark.kind for mark in picture.marks} == ({"line"} if seeds == 1 else {"line", "band", "faint"})


def test_intervals_have_a_row_for_each_condition() -> None:
    picture = intervals("Steps", "steps", {"sgd": {"flat": [1.0, 4.0], "steep": [0.0, 9.0]}}, log=True)
    assert picture.y.ticks == ("steep", "flat")
    assert [row[:3] for row in picture.table.rows] == [("flat", "sgd", "2"), ("steep", "sgd", "not a number")]
    assert any("geometric mean" in note for note in picture.notes)


def test_lanes_of_a_population_have_the_seeds_that_are_asked_for() -> None:
    problem = watched_on_training(breast_cancer(epochs=1))
    each = [lane("sgd", lr=lr) for lr in (0.1, 0.2, 0.1)]
    found = trained(problem, {"same": lane("sgd", lr=0.1), "each": each}, 3, first=5)
    np.testing.assert_array_equal(found["same"].valid_loss[[0, 2]], found["each"].valid_loss[[0, 2]])
    assert (found["same"].valid_loss[1] != found["each"].valid_loss[1]).any()
    again = trained(problem, {"same": lane("sgd", lr=0.1)}, 4, first=4)["same"]
    np.testing.assert_array_equal(again.valid_loss[1:], found["same"].valid_loss)
