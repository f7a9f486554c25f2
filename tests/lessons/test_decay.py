"""Decay and schedules: the exact loss of the regression, and changes that turn the verdicts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fallline.lessons.decay import _Bowl, circle, tuned_race
from fallline.pages.player import Scene
from fallline.problems import diabetes


def test_the_bowl_is_the_training_loss() -> None:
    problem = diabetes()
    bowl, model = _Bowl.of(problem), problem.build(3).double()
    weights = torch.cat([parameter.detach().flatten() for parameter in model.parameters()]).numpy()
    inputs, targets = problem.train.inputs.double(), problem.train.targets.double()
    loss = problem.evaluation_loss(model, inputs, targets).item()
    assert bowl.lowest + bowl.above(weights) == pytest.approx(loss, rel=1e-12)
    assert bowl.above(bowl.place) == 0


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"firsts": [1.0]}, "holds"),
        ({}, "holds under these conditions"),
        ({"batch": 265}, "does not hold here"),
    ],
)
def test_the_verdict_on_decay_follows_from_the_paths(changes: dict[str, Any], verdict: str) -> None:
    evidence = circle(seeds=10, **changes)
    assert evidence.verdict == verdict, [str(check) for check in evidence.checks]


def test_the_picture_shows_the_constant_rate_and_five_laws() -> None:
    scene = circle(seeds=2, epochs=10).picture
    assert isinstance(scene, Scene)
    assert [one.name for one in scene.trajectories] == [
        "constant", "1/(1+e)", "0.95^e", "1/√(e+1)", "half every 10 epochs", "1/√t",
    ]  # fmt: skip
    for one in scene.trajectories:
        (x0, x1), (y0, y1) = scene.view
        x, y = np.asarray(one.points).T
        assert ((x0 < x) & (x < x1) & (y0 < y) & (y < y1)).all()


def test_paths_that_diverge_leave_the_claim_open() -> None:
    evidence = circle(seeds=2, firsts=[20.0])
    assert evidence.verdict == "does not hold here"
    assert {check.outcome for check in evidence.checks} == {"open"}
    assert isinstance(evidence.picture, Scene)


@pytest.mark.parametrize(("tuned", "verdict"), [(True, "does not hold here"), (False, "holds")])
def test_adaptive_methods_win_where_nothing_is_tuned(tuned: bool, verdict: str) -> None:
    evidence = tuned_race(seeds=3, trials=4, names=["breast-cancer"], tuned=tuned, workers=1)
    assert evidence.verdict == verdict, [str(check) for check in evidence.checks]
