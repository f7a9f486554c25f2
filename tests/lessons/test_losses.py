"""The loss of a classifier: a kind that is no other has no kinder surface, and a slope that follows by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from fallline.lessons.losses import cross_entropy, squared_error

SHORT: dict[str, Any] = {"seeds": 4, "epochs": 4, "target": 0.7, "rates": 4}


def test_squared_error_flattens_where_it_is_confidently_wrong() -> None:
    evidence = cross_entropy(**SHORT)
    assert evidence.verdict == "holds under these conditions"
    right = 1 / (1 + math.exp(10))  # the probability of a class whose output is 10 behind
    assert evidence.checks[-1].estimate == pytest.approx(4 * right * (1 - right))


def test_squared_error_is_no_kinder_than_itself() -> None:
    assert cross_entropy(**SHORT, kind=squared_error).verdict == "does not hold here"
