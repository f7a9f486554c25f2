"""Initial weights: the verdict, what turns it, and a scale that goes through a deep network of ReLU as it must."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fallline.lessons.initialisation import signal

SHORT: dict[str, Any] = {"seeds": 8, "depth": 12}


@pytest.mark.parametrize(
    ("changes", "verdict"), [({}, "holds under these conditions"), ({"scale": 0.5}, "does not hold here")]
)
def test_verdict_follows_from_the_networks(changes: dict[str, Any], verdict: str) -> None:
    assert signal(**SHORT, **changes).verdict == verdict


def test_relu_passes_a_scale_on_as_it_is() -> None:
    kept, small, large = (check for check in signal(**SHORT).checks if check.condition == "He with ReLU")
    np.testing.assert_allclose([small.estimate, large.estimate], [kept.estimate / 2, kept.estimate * 2], rtol=1e-5)


def test_tanh_bounds_what_is_too_large() -> None:
    failed = [check for check in signal(**SHORT).checks if not check.holds]
    assert [(check.condition, check.what.endswith("too large")) for check in failed] == [("Xavier with tanh", True)]
