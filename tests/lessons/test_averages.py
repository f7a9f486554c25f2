"""Bias correction and windows: known first steps, and changes that turn the verdicts."""

from __future__ import annotations

import math
from importlib.metadata import PackageNotFoundError
from typing import Any

import numpy as np
import pytest

from fallline.lessons import averages
from fallline.lessons.averages import bias_correction, windows

USUAL = [(0.9, 0.999)]


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"betas": USUAL}, "holds"),
        ({"betas": USUAL, "correction": True}, "does not hold here"),
        ({"betas": [*USUAL, (0.9, 0.99)], "first": 1}, "holds under these conditions"),
    ],
)
def test_the_verdict_on_bias_correction_follows_from_the_steps(changes: dict[str, Any], verdict: str) -> None:
    assert bias_correction(seeds=2, **changes).verdict == verdict


def test_first_steps_miss_their_length_by_what_the_factors_tell() -> None:
    average, corrected, *steps = bias_correction(seeds=2, betas=[*USUAL, (0.99, 0.9)], first=1).checks
    assert average.estimate == pytest.approx(0.1)
    assert corrected.estimate == pytest.approx(1)
    assert [step.estimate for step in steps] == pytest.approx([0.1 / math.sqrt(0.001), math.sqrt(0.1) / 0.01], rel=0.01)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "holds"),
        ({"ahead": True}, "does not hold here"),
        ({"spans": (10, 10)}, "does not hold here"),
    ],
)
def test_the_verdict_on_windows_follows_from_the_temperatures(changes: dict[str, Any], verdict: str) -> None:
    assert windows(**changes).verdict == verdict


def test_temperatures_are_four_whole_years_of_a_cool_town(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def average(days: Any, span: float, ahead: bool) -> Any:
        seen.append(days)
        return days

    monkeypatch.setattr(averages, "_average", average)
    windows(spans=(2, 3))
    assert [len(days) for days in seen] == 2 * [366, 365, 365, 365]
    assert all(8 < np.mean(days) < 16 for days in seen)


def test_without_the_temperatures_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(averages, "distribution", missing)
    with pytest.raises(ImportError, match=r"pip install 'fallline\[lessons\]'"):
        windows()
