"""Results that come with the package are what the lessons give now: those that take a second or so are run again."""

from __future__ import annotations

import pytest

from fallline.lessons import run
from fallline.lessons.kept import kept

#: Lessons whose whole run, as bundled, takes a second or so.
QUICK = (13, 14, 17)


@pytest.mark.parametrize("number", QUICK)
def test_a_bundled_result_is_what_the_lesson_gives(number: int) -> None:
    again, bundled = run(number), kept(number)
    assert bundled is not None
    for one, other in zip(again.evidence.checks, bundled.evidence.checks, strict=True):
        assert (one.what, one.condition, one.above, one.below) == (
            other.what,
            other.condition,
            other.above,
            other.below,
        )
        told, expected = ((check.estimate, check.low, check.high) for check in (one, other))
        assert told == pytest.approx(expected, rel=1e-3)
    assert (again.evidence.setting, again.finding) == (bundled.evidence.setting, bundled.finding)
