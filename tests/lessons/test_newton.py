"""Newton: what a line search saves is nothing without one, or from near; and what a step costs."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from fallline.lessons import verdict_of
from fallline.lessons.newton import few_dear_steps
from fallline.pages.player import Scene

SHORT: dict[str, Any] = {"seeds": 6, "most": 12}


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "holds"),
        ({"line_search": None}, "holds under these conditions"),
        ({"far": 0.1}, "holds under these conditions"),
    ],
)
def test_verdict_follows_from_the_runs(changes: dict[str, Any], verdict: str) -> None:
    checks = few_dear_steps(**SHORT, **changes).checks
    timed = [check for check in checks if "time" in check.what]
    assert len(timed) == 1
    assert verdict_of([check for check in checks if check not in timed]) == verdict


def test_a_step_costs_a_backward_pass_a_weight_and_two_losses_and_whole_ones_leave_the_map() -> None:
    evidence = few_dear_steps(seeds=2, most=12)
    steps, gradients = re.findall(r"Newton ([\d.]+) steps of the work of (\d+) gradients", evidence.remark)[0]
    assert int(gradients) == float(steps) * (31 + 2)
    assert isinstance(evidence.picture, Scene)
    descent, searched, whole = evidence.picture.trajectories
    assert (descent.ending, searched.ending, whole.ending) == ("reached", "moving", "left")
    np.testing.assert_allclose(np.asarray(searched.points)[-1], [3.0, 0.5], atol=1e-6)
