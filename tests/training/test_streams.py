"""Online learning: each batch of a stream is met once, and told of before it is learnt from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

import fallline as fl
from fallline.schedules import exponential


def stream(batches: int, size: int = 4) -> Iterator[tuple[Any, Any]]:
    random = np.random.default_rng(0)
    for _ in range(batches):
        X = random.normal(size=(size, 2))
        yield X, X @ [[1.0], [-1.0]]


def on_stream(train: Any, **given: Any) -> fl.StreamProblem:
    return fl.StreamProblem(
        model=lambda: nn.Linear(2, 1, bias=False, dtype=torch.float64),
        **{"loss": nn.functional.mse_loss, "train": train, **given},
    )


def test_a_stream_is_met_before_it_is_learnt_from() -> None:
    problem = on_stream(stream(5), metric="mean_absolute_error")
    model = problem.build(0)
    expected = []
    for X, y in stream(5):
        error = torch.tensor(X) @ model.weight.detach().T - torch.tensor(y)  # type: ignore[operator]
        expected.append((float(error.square().mean()), float(error.abs().mean())))
        with torch.no_grad():
            model.weight -= 0.1 * 2 * error.T @ torch.tensor(X) / 4  # type: ignore[operator]
    result = fl.fit(problem, "sgd", lr=0.1)
    found = [(row.training_loss, row.metric) for row in result.curves]
    np.testing.assert_allclose(np.array(found, float), np.array(expected), rtol=1e-12)
    assert [row.step for row in result.curves] == [1, 2, 3, 4, 5]
    assert result.reason == "The stream ended after 5 batches."


def test_a_stream_in_memory_and_one_that_is_met_train_alike() -> None:
    def dropping() -> nn.Module:
        return nn.Sequential(nn.Dropout(0.3), nn.Linear(2, 1, dtype=torch.float64))

    loss = nn.functional.mse_loss
    valid = next(stream(1))
    in_memory = fl.Problem(model=dropping, loss=loss, train=lambda: stream(5), steps=5, valid=valid, device="cpu")
    met = fl.StreamProblem(model=dropping, loss=loss, train=stream(5))
    first, second = (fl.fit(problem, "adam", lr=0.1, seed=3) for problem in (in_memory, met))
    for one, other in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(one, other)
    mean = np.mean([row.training_loss for row in second.curves])
    assert first.curves[-1].training_loss == pytest.approx(mean)


def test_a_stream_that_was_read_to_its_end_is_no_success() -> None:
    problem = on_stream(stream(2))
    fl.fit(problem, "sgd")
    result = fl.fit(problem, "sgd")
    assert (result.finished, result.curves) == (False, [])
    assert result.reason.startswith("The stream had no batch to train on")


@pytest.mark.parametrize(
    "schedule", [exponential(0.5), lambda optimizer: lr_scheduler.ExponentialLR(optimizer, 0.5)], ids=["ours", "torch"]
)
def test_on_a_stream_rates_go_by_batches(schedule: Any) -> None:
    result = fl.fit(on_stream(stream(3)), "sgd", lr=0.4, schedule=schedule)
    assert [row.learning_rate for row in result.curves] == pytest.approx([0.4, 0.2, 0.1])


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (lambda: on_stream((np.ones((2, 2)), np.ones((2, 1)))), "train: got tuple, which is no stream"),
        (lambda: on_stream(3), "train: got int, which is no stream"),
        (lambda: on_stream(stream(1), loss=nn.MSELoss), "loss: got the class MSELoss"),
        (lambda: fl.fit(on_stream(stream(1)), "sgd", batch=3), "batch: a stream comes in its own batches"),
        (lambda: fl.fit(on_stream(stream(1)), "sgd", epochs=3), "epochs: a stream comes in its own batches"),
        (lambda: fl.fit(on_stream([np.ones(2)]), "sgd"), "train, batch 1: got ndarray; give a pair"),
        (
            lambda: fl.fit(on_stream([*stream(2), (np.ones((2, 2)), np.ones(3))]), "sgd"),
            "train, batch 3: X has 2 examples and y has 3",
        ),
        (
            lambda: fl.fit(on_stream([*stream(1), (np.ones((2, 3)), np.ones((2, 1)))]), "sgd"),
            "train, batch 2: the step failed .*; every batch must fit the model",
        ),
    ],
)
def test_streams_that_are_refused(made: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        made()
