"""One scale for features and signals: without it nothing is gained, and the condition number is the one of algebra."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

from fallline.lessons.scaling import condition_numbers

SHORT: dict[str, Any] = {"seeds": 2, "width": 4, "epochs": 1}


@pytest.mark.parametrize(
    ("changes", "verdict"), [({}, "holds under these conditions"), ({"helped": False}, "does not hold here")]
)
def test_verdict_follows_from_the_curvatures(changes: dict[str, Any], verdict: str) -> None:
    assert condition_numbers(**SHORT, **changes).verdict == verdict


def test_condition_of_least_squares_is_that_of_its_features() -> None:
    features, _ = train_test_split(load_diabetes(return_X_y=True, scaled=False)[0], random_state=0)

    def condition(features: Any) -> float:
        design = np.hstack([features, np.ones((len(features), 1))])
        return float(np.linalg.cond(design.T @ design))

    scaled = condition((features - features.mean(0)) / features.std(0))
    first = condition_numbers(**SHORT).checks[0]
    assert first.condition == "features, diabetes"
    assert first.estimate == pytest.approx(scaled / condition(features), rel=1e-4)
