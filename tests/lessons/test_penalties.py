"""Penalties: no strength, no zeros; and no zeros where a slope is followed."""

from __future__ import annotations

from typing import Any

import pytest

from fallline.lessons.penalties import exact_zeros

SHORT: dict[str, Any] = {"seeds": 8, "epochs": 10}


@pytest.mark.parametrize(
    ("changes", "verdict"), [({}, "holds under these conditions"), ({"strength": 0.0}, "does not hold here")]
)
def test_verdict_follows_from_the_weights(changes: dict[str, Any], verdict: str) -> None:
    assert exact_zeros(**SHORT, **changes).verdict == verdict


def test_at_full_strength_and_without_noise_hardly_a_weight_is_left() -> None:
    shares = {check.condition: check.estimate for check in exact_zeros(seeds=2, strength=1.0, batch=265).checks[::4]}
    assert min(shares.values()) > 0.5, shares
