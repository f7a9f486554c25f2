"""What every lesson's short run is held against: the result that comes with the package."""

from __future__ import annotations

from fallline.lessons import Result
from fallline.lessons.kept import kept


def assert_told_as_bundled(result: Result) -> None:
    """Whether a run's checks are those of the bundled result: the same numbers, bounds and conditions, in order."""
    bundled = kept(result.lesson.number)
    assert bundled is not None, "it has no bundled result; `fallline lessons --results` writes it"
    told, expected = (
        [(check.what, check.condition, check.above, check.below) for check in one.evidence.checks]
        for one in (result, bundled)
    )
    assert told == expected
