"""Two rules for one model: every problem's runs are compared with each rule alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fallline.lessons import Evidence
from fallline.lessons.choosing import adam_then_sgd, body_and_head


@pytest.mark.parametrize(("experiment", "checks"), [(adam_then_sgd, 6), (body_and_head, 4)])
def test_runs_small(experiment: Callable[..., Evidence], checks: int) -> None:
    evidence = experiment(seeds=2, epochs=1, rates=2)
    assert len(evidence.checks) == checks
    assert all(check.low < check.estimate < check.high for check in evidence.checks)
