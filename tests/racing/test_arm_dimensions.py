"""Dimensions of a space: where they lead, where they end, and how they are kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fallline.racing.arms.dimensions import Choice, Dimension, Range, as_dimension, from_json


@pytest.mark.parametrize(
    ("dimension", "unit", "value"),
    [
        (Range(1e-4, 1.0), 0.0, 1e-4),
        (Range(1e-4, 1.0), 0.5, 1e-2),
        (Range(1e-4, 1.0), 1.0, 1.0),
        (Range(-1.0, 3.0, "linear"), 0.25, 0.0),
        (Range(0.9, 0.999, "complement"), 0.0, 0.9),
        (Range(0.9, 0.999, "complement"), 0.5, 0.99),
        (Range(0.9, 0.999, "complement"), 1.0, 0.999),
        (Range(1e-4, 1.0), 1.5, 1.0),
        (Range(1e-4, 1.0), -0.5, 1e-4),
        (Range(1e-4, 1.0, open=True), 1.5, 100.0),
        (Range(1e-4, 1.0, open=True), -0.5, 1e-6),
        (Choice((32, 64, 128)), 0.0, 32),
        (Choice((32, 64, 128)), 0.34, 64),
        (Choice((32, 64, 128)), 1.0, 128),
        (Choice(("cosine",)), 0.5, "cosine"),
    ],
)
def test_value_at_a_share_of_the_way(dimension: Dimension, unit: float, value: Any) -> None:
    assert dimension.at(unit) == value


@pytest.mark.parametrize("unit", [0.0, 1e-3, 0.3, 0.77, 1.0])
@pytest.mark.parametrize(
    "dimension", [Range(1e-7, 10), Range(-2, 5, "linear"), Range(0.0, 0.99999, "complement"), Range(3, 3.0000001)]
)
def test_place_is_where_at_came_from(dimension: Range, unit: float) -> None:
    assert dimension.low <= dimension.at(unit) <= dimension.high
    assert dimension.place(dimension.at(unit)) == pytest.approx(unit, abs=1e-6)


@pytest.mark.parametrize("unit", [-2.0, -0.1, 0.4, 1.3])
def test_an_open_range_goes_on_beyond_its_ends(unit: float) -> None:
    dimension = Range(1e-5, 100.0, open=True)
    assert dimension.place(dimension.at(unit)) == pytest.approx(unit)
    assert Range(1e-5, 100.0).place(dimension.at(unit)) == pytest.approx(min(max(unit, 0.0), 1.0))


@pytest.mark.parametrize(
    ("dimension", "value", "side"),
    [
        (Range(1e-4, 1.0), 1.5e-4, "low"),
        (Range(1e-4, 1.0), 1.6e-4, None),  # 10**-3.8, a twentieth of four decades
        (Range(1e-4, 1.0), 0.62, None),
        (Range(1e-4, 1.0), 0.64, "high"),
        (Range(1e-4, 1.0), 5.0, "high"),
        (Range(1e-4, 1.0, open=True), 5.0, "high"),
        (Range(0.0, 1.0, "linear"), 0.049, "low"),
        (Range(0.9, 0.999, "complement"), 0.9988, "high"),
        (Range(0.9, 0.999, "complement"), 0.998, None),
        (Choice((1, 2)), 2, None),
    ],
)
def test_edge(dimension: Dimension, value: float, side: str | None) -> None:
    assert dimension.edge(value) == side


@pytest.mark.parametrize(
    "dimension",
    [
        Range(1e-4, 1.0),
        Range(1e-4, 1.0, open=True),
        Range(-1.0, 1.0, "linear"),
        Range(0.9, 0.99, "complement"),
        Choice((8, "all", True)),
    ],
)
def test_dimensions_are_kept(dimension: Dimension) -> None:
    assert from_json(json.loads(json.dumps(dimension.to_json()))) == dimension


def test_a_range_that_was_kept_before_there_were_open_ones_is_read() -> None:
    assert from_json({"low": 1e-4, "high": 1.0, "scale": "log"}) == Range(1e-4, 1.0)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Range(0.0, 1.0), "0 < low < high"),
        (lambda: Range(1.0, 1.0), "0 < low < high"),
        (lambda: Range(2.0, 1.0, "linear"), "low < high"),
        (lambda: Range(0.5, 1.0, "complement"), "low < high < 1"),
        (lambda: Range(1e-3, float("inf")), "two finite numbers"),
        (lambda: Range("a", 1.0), "two finite numbers"),  # type: ignore[arg-type]
        (lambda: Range(0.0, 1.0, "linear", open=True), "open range must be on the log scale"),
        (lambda: Range(1e-3, 1.0, "logarithm"), "one of log, linear, complement"),
        (lambda: Choice(()), "a choice has options"),
        (lambda: Choice((1, 1)), "all different"),
        (lambda: Choice((1.0, float("nan"))), "finite number or a string"),
        (lambda: Choice("adam"), "a choice has a list of options"),  # type: ignore[arg-type]
        (lambda: as_dimension(3), "a Range or a Choice; got 3"),
        (lambda: as_dimension((1, 2, 3)), "a Range or a Choice"),
    ],
)
def test_what_is_no_dimension(make: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()
