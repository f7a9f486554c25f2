"""Each preset shows what its sentence says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from fallline.lab.presets import PRESETS

PICTURES = {preset["name"]: preset for preset in PRESETS if "tab" not in preset["state"]}
TABS = [preset["state"]["tab"] for preset in PRESETS if "tab" in preset["state"]]


def shown(lab: TestClient, name: str, **changed: Any) -> list[dict[str, Any]]:
    answer = lab.post("/api/descent", json={**PICTURES[name]["state"], **changed})
    assert answer.status_code == 200, answer.text
    trajectories: list[dict[str, Any]] = answer.json()["scene"]["trajectories"]
    return trajectories


@pytest.mark.parametrize(
    ("name", "outcomes"),
    [
        ("Zig-zag across a ravine", ["reached (0, 0) at step 111", "reached (0, 0) at step 84"]),
        ("Past 2/curvature", ["reached (0, 0)", "left the map at step 11", "still moving"]),
        ("Leaving a saddle", ["reached (0, 1.414) at step 145", "reached (0, 1.414) at step 106",
                              "reached (0, 1.414) at step 28", "reached (0, 1.414) at step 69"]),
        ("A plateau", ["reached (0, 0) at step 214", "reached (0, 0) at step 95", "reached (0, 0) at step 28",
                       "reached (0, 0) at step 99"]),
        ("A step for each direction", ["still moving", "reached (0, 0) at step 24"]),
        ("A bend in the valley", ["reached (1, 1) at step 524", "reached (1, 1) at step 743",
                                  "reached (1, 1) at step 677"]),
        ("Local minima", ["reached (-3.779, -3.283)", "reached (-2.805, 3.131)", "reached (-3.779, -3.283)"]),
        ("Sharp and flat", ["reached (-1.999, 0)", "reached (1.469, 0)"]),
    ],
)  # fmt: skip
def test_outcomes(lab: TestClient, name: str, outcomes: list[str]) -> None:
    for trajectory, words in zip(shown(lab, name), outcomes, strict=True):
        assert trajectory["outcome"].startswith(words)


def test_nesterov_swings_less(lab: TestClient) -> None:
    plain, ahead = (np.array(trajectory["points"])[:, 0].max() for trajectory in shown(lab, "Nesterov looks ahead"))
    assert 0 < ahead < plain


def test_adagrads_effective_step_only_shrinks(lab: TestClient) -> None:
    adagrad, rmsprop = shown(lab, "Adagrad stalls")
    rates = np.array([rate[0] for rate in adagrad["rates"]], float)
    assert (np.diff(rates) <= 0).all()
    assert rmsprop["losses"][-1] < adagrad["losses"][-1]


def test_adams_first_step_without_correction_is_three_times_as_long(lab: TestClient) -> None:
    corrected, plain = (trajectory["rates"][0][0] for trajectory in shown(lab, "Adam's first steps"))
    assert plain / corrected == pytest.approx(np.sqrt(10), rel=0.01)


def test_noise_leaves_the_sharp_hollow(lab: TestClient) -> None:
    (noisy,) = shown(lab, "Noise leaves a poor minimum")
    (quiet,) = shown(lab, "Noise leaves a poor minimum", noise=0)
    assert noisy["points"][-1][0] > 1 > -1.9 > quiet["points"][-1][0]


def test_decay_comes_to_rest_nearer(lab: TestClient) -> None:
    constant, decayed = (np.hypot(*one["points"][-1]) for one in shown(lab, "Decay shrinks the circle"))
    assert decayed < constant / 3


@pytest.mark.parametrize("tab", TABS)
def test_tabs_are_there(lab: TestClient, tab: str) -> None:
    assert lab.post(f"/api/tab/{tab}", json={}).status_code == 200
