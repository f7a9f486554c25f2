"""The small SVG pictures of charts: well-formed whatever they show, with every mark at its place."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from fallline.pages.charts.picture import Axis, Kind, Mark, Picture, Table
from fallline.pages.charts.stills import still

NOTHING = Table((), ())


def picture(x: Axis, y: Axis, *marks: Mark) -> Picture:
    return Picture("title", {"x": x}, y, marks, {}, NOTHING)


def mark(kind: Kind, x: list[float], y: list[float], top: list[float] | None = None) -> Mark:
    return Mark(kind, 0, {"x": np.array(x)}, np.array(y), None if top is None else np.array(top))


def texts(drawn: str) -> list[str]:
    return [one.text or "" for one in ElementTree.fromstring(drawn).iter() if one.tag.endswith("text")]


def path(drawn: str, look: str) -> list[str]:
    """The outlines of the paths that have this attribute."""
    return re.findall(rf'<path [^>]*{look}[^>]* d="([^"]*)"', drawn)


@pytest.mark.parametrize(
    ("axis", "values", "expected"),
    [
        (Axis("steps", view=(0.0, 1.0)), [0.0, 1.0], ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (Axis("steps", view=(-3.0, 9.0)), [0.0], ["-2", "0", "2", "4", "6", "8"]),
        (Axis("steps", view=(1e300, 1e300)), [1e300], ["1e+300"]),
        (Axis("rate", logarithmic=True, view=(1e-6, 1.0)), [1e-6, 1.0], ["10⁻⁶", "10⁻⁴", "10⁻²", "10⁰"]),
        (Axis("rate", logarithmic=True, view=(1.0, 10.0)), [1.0, 9.0], ["1", "1.5", "2", "3", "5", "7", "10"]),
        (Axis("option", ticks=("a", "b<c")), [0.0, 1.0], ["a", "b<c"]),
    ],
)
def test_what_stands_at_an_axis(axis: Axis, values: list[float], expected: list[str]) -> None:
    drawn = still(picture(axis, Axis("loss", view=(0.0, 1.0)), mark("dots", values, [0.5] * len(values))))
    assert texts(drawn)[: len(expected)] == expected


def test_a_line_ends_where_there_is_no_number_and_a_band_goes_there_and_back() -> None:
    unit = Axis("", view=(0.0, 1.0))
    nan = float("nan")
    line = mark("line", [0.0, 0.5, 0.6, 1.0], [0.0, 1.0, nan, 1.0])
    band = mark("band", [0.0, 1.0], [0.0, 0.0], [1.0, 1.0])
    drawn = still(picture(unit, unit, line, band))
    # Of 480 by 326: 30 and three characters of 7 at the left, 14 at the right, 18 above, 46 below.
    left, right, top, bottom = 51.0, 466.0, 18.0, 280.0
    middle = (left + right) / 2
    assert path(drawn, 'stroke-width="1.8"') == [f"M{left} {bottom} {middle} {top}M{right} {top}"]
    assert path(drawn, "fill-opacity") == [f"M{left} {bottom} {right} {bottom}L{right} {top} {left} {top}z"]


@pytest.mark.parametrize("values", [[], [float("nan")], [0.0], [-1.0], [1e-320], [1e308, -1e308], [5.0, 5.0]])
@pytest.mark.parametrize("logarithmic", [False, True])
def test_every_list_of_numbers_is_drawn(values: list[float], *, logarithmic: bool) -> None:
    axis = Axis("numbers", logarithmic)
    kinds: tuple[Kind, ...] = ("line", "interval", "faint", "dots", "hollow", "crosses")
    marks = [mark(kind, values, values) for kind in kinds]
    drawn = still(picture(axis, axis, *marks, mark("band", values, values, values)))
    assert texts(drawn)
    assert not re.search("nan|inf", drawn)


def test_names_that_would_break_a_picture_are_only_names() -> None:
    names = Axis("", ticks=("<script>&", "a\x00b", "long " * 20), view=(-0.6, 2.6))
    found = texts(still(picture(Axis("x", view=(0.0, 1.0)), names)))
    assert found[6:8] == ["<script>&", "a?b"]
    assert len(found[8]) < 40
