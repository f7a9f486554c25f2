"""The contours of a descent player, against landscapes whose contours are known."""

from __future__ import annotations

import re

import numpy as np
import pytest
from numpy.typing import NDArray

from fallline.pages.player import contours

# A grid of x and y from -1 to 1, drawn in a box of 2000 by 2000 units: 1000 units are 1.
X, Y = np.meshgrid(np.linspace(-1, 1, 201), np.linspace(-1, 1, 201))


def area(region: str) -> float:
    """The area that SVG path data encloses in units of the grid; rings inside rings are holes."""
    total = 0.0
    for ring in region.split("z")[:-1]:
        x, y = np.cumsum(np.array(re.findall(r"-?\d+", ring), float).reshape(-1, 2) / 1000, axis=0).T
        total += float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
    return abs(total)


def test_a_bowl_has_round_contours() -> None:
    found = contours(X**2 + Y**2, 2000, 2000)
    assert len(found.regions) == len(found.levels) + 1 == 12
    assert area(found.regions[0]) == pytest.approx(4)
    for level, region in zip(found.levels, found.regions[1:], strict=True):
        if level < 1:  # a whole circle: all but it is higher
            assert area(region) == pytest.approx(4 - np.pi * level, rel=1e-3)


def test_levels_rise_by_one_factor_above_the_lowest() -> None:
    found = contours(X**2 + 1e4 * Y**2 - 7, 2000, 2000)
    assert found.lowest == -7
    factors = np.diff(np.log(np.array(found.levels) + 7))
    np.testing.assert_allclose(factors, factors[0])
    assert found.levels[0] + 7 < 10  # the floor of the valley
    assert found.levels[-1] + 7 > 5000  # and its walls


def test_the_scale_makes_bands_equally_wide() -> None:
    heights = X**2 + Y**2
    found = contours(heights, 2000, 2000)
    for index, level in enumerate(found.levels):
        np.testing.assert_array_equal(heights > level, found.fractions > (index + 1) / 12)
    assert found.fractions.min() == 0
    assert 11 / 12 < found.fractions.max() <= 1


@pytest.mark.parametrize("missing", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_left_out(missing: float) -> None:
    heights: NDArray[np.float64] = X**2 + Y**2
    heights[:, :101] = missing
    found = contours(heights, 2000, 2000)
    assert area(found.regions[0]) == pytest.approx(2 * 0.99)
    assert np.isnan(found.fractions[:, :101]).all()
    assert np.isfinite(found.fractions[:, 101:]).all()


@pytest.mark.parametrize(
    ("heights", "levels"),
    [
        (np.zeros((3, 3)), ()),
        (np.array([[5.0, 5.0], [5.0, 7.0]]), (7.0,)),
        (np.array([[1e300, 0.0], [1.0, np.nan]]), None),
    ],
    ids=["level", "two heights", "huge"],
)
def test_few_heights(heights: NDArray[np.float64], levels: tuple[float, ...] | None) -> None:
    found = contours(heights, 2000, 1000)
    assert len(found.regions) == len(found.levels) + 1
    assert levels is None or found.levels == levels
    assert np.isfinite(found.fractions[np.isfinite(heights)]).all()
