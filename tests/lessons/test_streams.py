"""A stream that drifts, and one that does not."""

from __future__ import annotations

from typing import Any

import pytest

from fallline.lessons.streams import keeps_up

SHORT: dict[str, Any] = {"seeds": 8, "batches": 200, "rates": 3, "streams": ["regression"]}


@pytest.mark.parametrize(("changes", "outcome"), [({}, "holds"), ({"drift": 0.0}, "does not hold")])
def test_adagrad_is_behind_where_the_truth_moves(changes: dict[str, Any], outcome: str) -> None:
    behind, _ = keeps_up(**SHORT, **changes).checks
    assert behind.outcome == outcome, str(behind)


def test_batches_that_make_no_blocks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^batches must be a multiple of 40; got 210\.$"):
        keeps_up(batches=210)
