"""A loss or a metric that raises for runs that diverged: they count as diverged, and the race goes on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score
from torch import Tensor, nn

import fallline as fl
from fallline.racing.effort import Effort


def insisting(output: Tensor, target: Tensor) -> Tensor:
    if not output.isfinite().all():
        raise FloatingPointError("the output is not finite")
    return nn.functional.mse_loss(output, target)


def r2(output: Tensor, target: Tensor) -> float:
    """Raises, as scikit-learn does, for what is not finite."""
    return float(r2_score(target.numpy(), output.numpy()))


@pytest.mark.parametrize(
    ("training", "changes"),
    [
        ("in turn", {"loss": insisting}),
        ("in turn", {"metric": fl.Metric("r2", r2, higher_is_better=True)}),
        ("batched", {"metric": fl.Metric("r2", r2, higher_is_better=True)}),
    ],
    ids=["loss, in turn", "metric, in turn", "metric, batched"],
)
def test_runs_that_raise_have_diverged(training: str, changes: dict[str, Any]) -> None:
    inputs = 30 * torch.randn(90, 4, generator=torch.Generator().manual_seed(0))
    targets = inputs[:, :1] / 30
    problem = fl.Problem(
        model=lambda: nn.Linear(4, 1),
        train=(inputs[:50], targets[:50]),
        valid=(inputs[50:70], targets[50:70]),
        test=(inputs[70:], targets[70:]),
        batch=10,
        epochs=3,
        **{"loss": nn.functional.mse_loss, **changes},
    )
    result = fl.race(problem, ["sgd", "adam"], Effort(6, 1, 2), storage=None, training=training)
    trials = {arm.name: arm.trials for arm in result.arms}
    assert 0 < sum(run.diverged for run in trials["sgd"]) < 6
    assert not any(run.diverged for run in trials["adam"])
    assert all(np.isnan(run.valid_metric[-1]) == run.diverged for run in trials["sgd"])
    assert result.arms[0].score is not None
