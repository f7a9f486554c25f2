"""Adam and its variants: changes of the experiments that turn the verdicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fallline.lessons import Evidence
from fallline.lessons.adam import rectifier, safe_default, scale_invariant

SHORT: dict[Callable[..., Evidence], dict[str, Any]] = {
    safe_default: {"seeds": 3, "names": ["breast-cancer"], "libraries": ["torch"]},
    rectifier: {"seeds": 5, "names": ["photograph"], "rates": [0.1], "epochs": 12},
    scale_invariant: {"seeds": 3, "rates": [0.001], "epochs": 10},
}


@pytest.mark.parametrize(
    ("experiment", "changes", "verdict"),
    [
        (safe_default, {}, "does not hold here"),
        (safe_default, {"candidate": "rmsprop"}, "holds"),
        (rectifier, {}, "holds"),
        (rectifier, {"rule": "adam"}, "does not hold here"),
        (rectifier, {"beta2": 0.5}, "does not hold here"),
        (scale_invariant, {}, "holds"),
        (scale_invariant, {"rates": [0.001, 0.1]}, "holds under these conditions"),
        (scale_invariant, {"normalised": False}, "does not hold here"),
        (scale_invariant, {"rule": "adam"}, "does not hold here"),
    ],
)
def test_verdicts_follow_from_the_runs(
    experiment: Callable[..., Evidence], changes: dict[str, Any], verdict: str
) -> None:
    evidence = experiment(**{**SHORT[experiment], **changes})
    assert evidence.verdict == verdict, [str(check) for check in evidence.checks]


def test_where_a_warm_up_helps_radam_is_compared_with_it() -> None:
    evidence = rectifier(**SHORT[rectifier])
    assert "over that of Adam with warm-up, where that helps: " in evidence.remark
    assert not rectifier(**SHORT[rectifier], rule="adam").remark.count("nan")
