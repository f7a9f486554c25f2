"""Lessons 6 to 11 and 28 turn over when an experiment is changed so that the claim is false."""

from __future__ import annotations

from typing import Any

import pytest

from fallline.lessons.result import lesson_of

HOLDS, PARTLY, FAILS = "holds", "holds under these conditions", "does not hold here"

#: A lesson's number, a small form of its experiment with its verdict, and what turns it over.
TABLE: list[tuple[int, dict[str, Any], str, dict[str, Any]]] = [
    # A large batch that is as small as the small one is the same run.
    (6, {"rates": (0.5,), "epochs": 12, "seeds": 4}, PARTLY, {"large": 16}),
    # Without momentum both are the same descent.
    (7, {"rates": (1.96,), "epochs": 3, "seeds": 3}, PARTLY, {"momentum": 0.0}),
    # Beyond its limit of stability, 1.36/λ, it overshoots more and more.
    (8, {"rates": (0.5,), "seeds": 10}, HOLDS, {"rates": (1.5,)}),
    # RMSprop does not stall, and Adagrad does not cure it.
    (9, {"rates": (1.0,), "problems": ("digits",), "epochs": 6, "seeds": 4}, HOLDS,
     {"rule": "rmsprop", "cures": ("adagrad",)}),
    # A factor on the loss is one on gradient descent's rate.
    (10, {"scales": (1e3,), "rates": (10.0,), "problems": ("breast-cancer",), "seeds": 4}, PARTLY, {"rule": "sgd"}),
    # By coordinate nothing is shallow or steep where the ravine lies across them.
    (11, {"turns": (0.0,), "units": ()}, HOLDS, {"turns": (45.0,)}),
    # Without scaling nothing is repaired.
    (28, {"small": 32, "batches": (128,), "warm_up": 1, "epochs": 12, "seeds": 8}, HOLDS, {"power": 0.0}),
]  # fmt: skip


@pytest.mark.parametrize(("number", "small", "verdict", "changed"), TABLE, ids=[str(row[0]) for row in TABLE])
def test_a_false_claim_turns_the_verdict(
    number: int, small: dict[str, Any], verdict: str, changed: dict[str, Any]
) -> None:
    experiment = lesson_of(number).experiment
    assert experiment(**small).verdict == verdict
    assert experiment(**(small | changed)).verdict == FAILS
