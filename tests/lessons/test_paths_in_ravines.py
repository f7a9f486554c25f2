"""What lessons 7, 8 and 11 measure on paths, against what is known of a quadratic."""

from __future__ import annotations

import numpy as np
import pytest

from fallline.landscape import path, surfaces
from fallline.lessons.lesson import Check
from fallline.lessons.momentum import braking, steps_to_a_tenth, travelled, zigzag
from fallline.lessons.rmsprop import shallow_and_steep


def _by(checks: tuple[Check, ...], condition: str) -> list[float]:
    return [check.estimate for check in checks if check.condition == condition]


def test_what_is_travelled_and_when_it_is_there() -> None:
    assert travelled(np.array([0.0, 1.0, -1.0, -1.0])) == 3
    assert steps_to_a_tenth(np.array([-1.0, 0.05, -0.2, 0.1, 0.0])) == 3
    assert steps_to_a_tenth(np.array([1.0, 0.05, np.nan])) == 3


def test_descent_travels_a_geometric_series_across() -> None:
    # It shrinks by 1 - 1.96 a step, each 1.96 of the height long: 1.96/(1 - 0.96) heights in all.
    found = path(surfaces.ravine, "sgd", lr=1.96 / 50, steps=2000)
    assert travelled(found.points[:, 1]) == pytest.approx(1.5 * 1.96 / 0.04)


def test_momentum_of_nothing_is_descent() -> None:
    checks = zigzag(momentum=0.0, rates=(1.0,), epochs=1, seeds=2).checks
    assert [check.estimate for check in checks] == pytest.approx([1.0] * len(checks))


def test_the_largest_rate_of_nesterov_lies_between() -> None:
    below, above = 1.3, 1.4  # 2 · 1.9/2.8 = 1.357
    checks = braking(rates=(below, above), steps=400, seeds=2).checks
    assert np.isfinite(_by(checks, "diabetes, η = 1.3/λ")).all()
    assert np.isnan(_by(checks, "diabetes, η = 1.4/λ")).all()


def test_the_further_a_ravine_is_turned_the_less_its_directions_are_told_apart() -> None:
    checks = shallow_and_steep(turns=(0, 10, 20, 45), units=()).checks
    ratios = [check.estimate for check in checks if "multiplied" in check.what]
    assert ratios == sorted(ratios, reverse=True)


def test_a_unit_that_there_is_not_is_named() -> None:
    with pytest.raises(ValueError, match="own units and standard deviations; got 'inches'"):
        shallow_and_steep(units=("inches",))
