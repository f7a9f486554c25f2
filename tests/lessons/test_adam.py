"""Adam and its variants: changes of the experiments that turn the verdicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fallline.lessons import Evidence
from fallline.lessons.adam import rectifier, safe_default, scale_invariant

SHORT: dict[Callable[..., Evidence], dict[str, Any]] = {
    safe_default: {"seeds": 3, "names": ["breast-cancer"], "libraries": ["torch"]},
    rectifier: {"seeds": 6, "names": ["photograph"], "rates": [0.1], "epochs": 12},
    scale_invariant: {"seeds": 3, "rates": [0.001], "epochs": 10},
}


@pytest.mark.parametrize(
    ("experiment", "changes", "verdict"),
    [
        (safe_default, {}, "does not hold here"),
        (safe_default, {"candidate": "rmsprop"}, "holds"),
        (rectifier, {}, "holds"),
        (rectifier, {"rule": "adam"}, "does not hold here"),
        (rectifier, {"rates": [0.01, 0.1]}, "holds under these conditions"),
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


def test_radam_is_compared_with_the_warm_up_where_that_helps() -> None:
    remark = rectifier(**{**SHORT[rectifier], "rates": [0.01, 0.1]}).remark
    assert remark.startswith("The loss of radam over that of Adam with warm-up, where that helps: ")
    assert "rate 0.1" in remark
    assert "rate 0.01" not in remark


@pytest.mark.parametrize("wrong", [{"libraries": ["torch", "jax"]}, {"candidate": "adamw"}], ids=str)
def test_what_is_not_known_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(
        ValueError, match=r"(libraries must be of torch and Keras; got 'jax'|candidate .* got 'adamw')\."
    ):
        safe_default(**wrong)
