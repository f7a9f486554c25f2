"""Training a population: batches, curves, and lanes that diverge."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fallline.training import BatchedLanes, Batches, Lanes, Problem, SequentialLanes, Update, epoch_order, train
from tests.training.models import Descent, make_problem, mlp

SEEDS = (1, 2, 1, 3, 2)
SOUND = [0.1, 0.2, 0.05, 0.1, 0.3]
WILD = [0.1, 1e12, 0.05, 1e30, 0.3]
kinds = pytest.mark.parametrize("kind", [BatchedLanes, SequentialLanes])


def test_an_epoch_sees_every_example_once() -> None:
    batches = Batches(examples=10, batch=4, seeds=[0, 7])
    seen = torch.cat([batches.at(step) for step in range(3)], 1)
    assert [tuple(batches.at(step).shape) for step in range(3)] == [(2, 4), (2, 4), (2, 2)]
    assert torch.equal(seen.sort(1).values, torch.arange(10).expand(2, 10))
    assert torch.equal(seen[1], epoch_order(10, seed=7, epoch=0))
    assert not torch.equal(seen[0], seen[1])


def test_the_order_follows_from_seed_and_epoch_alone() -> None:
    together, alone = Batches(10, 4, [0, 7]), Batches(10, 4, [7])
    for step in (8, 0, 4):
        assert torch.equal(together.at(step)[1], alone.at(step)[0])
    assert not torch.equal(alone.at(0), alone.at(3))


@pytest.mark.parametrize(("steps", "samples"), [(0, 0), (1, 4), (2, 8), (3, 10), (4, 14), (6, 20)])
def test_samples_count_the_smaller_last_batch(steps: int, samples: int) -> None:
    assert Batches(10, 4, [0]).samples(steps) == samples


@kinds
def test_curves_of_an_epoch_each(kind: type[Lanes]) -> None:
    problem = make_problem(mlp)
    update = Descent(SOUND)
    calls: list[tuple[int, int]] = []
    lanes = kind(problem, SEEDS)
    start = lanes.evaluate(problem.valid)
    curves = train(lanes, update, progress=lambda step, steps: calls.append((step, steps)))
    assert curves.steps.tolist() == [0, 3, 6, 9, 12]
    assert curves.samples.tolist() == [0, 42, 84, 126, 168]
    assert curves.train_loss.shape == curves.valid_loss.shape == curves.valid_metric.shape == (5, 5)
    assert update.steps == list(range(1, 13))
    assert calls == [(step, 12) for step in range(1, 13)]
    assert not curves.diverged.any()
    assert (curves.diverged_at == -1).all()
    np.testing.assert_array_equal(curves.valid_loss[:, 0], start.loss)
    np.testing.assert_array_equal(curves.train_loss[[0, 1], 0], curves.train_loss[[2, 4], 0])
    assert (curves.train_loss[:, -1] < curves.train_loss[:, 0]).all()
    end = lanes.evaluate(problem.valid)
    np.testing.assert_array_equal(curves.valid_metric[:, -1], end.metric)


@pytest.mark.parametrize(
    ("given", "points"),
    [
        ({"steps": 5}, [0, 3, 5]),
        ({"steps": 5, "evaluate_every": 2}, [0, 2, 4, 5]),
        ({"steps": 4, "evaluate_every": 100}, [0, 4]),
        ({"steps": 6, "start": 3}, [6]),
        ({"steps": 7, "start": 2, "evaluate_every": 2}, [4, 6, 7]),
        ({"steps": 3, "start": 3}, []),
    ],
)
def test_when_lanes_are_evaluated(given: dict[str, int], points: list[int]) -> None:
    curves = train(BatchedLanes(make_problem(mlp), SEEDS), Descent(SOUND), **given)  # type: ignore[arg-type]
    assert curves.steps.tolist() == points
    assert np.isfinite(curves.valid_loss).all()


@kinds
def test_in_parts_as_in_one_go(kind: type[Lanes]) -> None:
    problem = make_problem(mlp)
    whole = train(kind(problem, SEEDS), Descent(SOUND))
    lanes, update = kind(problem, SEEDS), Descent(SOUND)
    parts = [train(lanes, update, steps=6), train(lanes, update, start=6)]
    for name in ("steps", "samples", "train_loss", "valid_loss", "valid_metric"):
        joined = np.concatenate([getattr(part, name) for part in parts], -1)
        np.testing.assert_array_equal(joined, getattr(whole, name))


@kinds
def test_lanes_dropped_between_two_parts_leave_their_rows_empty(kind: type[Lanes]) -> None:
    problem = make_problem(mlp)
    whole = train(kind(problem, SEEDS), Descent(SOUND))
    lanes, update = kind(problem, SEEDS), Descent(SOUND)
    train(lanes, update, steps=6)
    mask = np.array([True, False, False, True, True])
    lanes.keep(mask)
    update.keep(mask)
    rest = train(lanes, update, start=6)
    assert np.isnan(rest.valid_loss[~mask]).all()
    assert not rest.diverged.any()
    np.testing.assert_allclose(rest.valid_loss[mask], whole.valid_loss[mask, 3:], rtol=2e-6)


@kinds
def test_diverged_lanes_are_dropped_and_leave_the_others_alone(kind: type[Lanes]) -> None:
    problem = make_problem(mlp)
    calm = train(kind(problem, SEEDS), Descent(SOUND))
    lanes, update = kind(problem, SEEDS), Descent(WILD)
    curves = train(lanes, update)
    wild = np.array([False, True, False, True, False])
    assert curves.diverged.tolist() == wild.tolist()
    assert set(curves.diverged_at[wild].tolist()) <= {2, 3}
    assert lanes.index.tolist() == [0, 2, 4]
    assert lanes.seeds == (1, 1, 2)
    assert len(update.rates) == 3
    for name in ("train_loss", "valid_loss", "valid_metric"):
        values, expected = getattr(curves, name), getattr(calm, name)
        assert np.isnan(values[wild, 1:]).all()
        assert np.isfinite(values[wild, 0]).all()
        # The same up to the point at which the lanes are dropped, to rounding from there on.
        np.testing.assert_array_equal(values[~wild, :2], expected[~wild, :2])
        np.testing.assert_allclose(values[~wild], expected[~wild], rtol=2e-6)


@kinds
def test_when_all_diverge_training_ends(kind: type[Lanes]) -> None:
    update = Descent([1e30] * 5)
    lanes = kind(make_problem(mlp), SEEDS)
    curves = train(lanes, update)
    assert curves.diverged.all()
    assert len(lanes) == 0
    assert update.steps == [1, 2, 3]
    assert curves.steps.tolist() == [0, 3, 6, 9, 12]
    again = train(lanes, update, start=12, steps=15)
    assert np.isnan(again.valid_loss).all()
    assert lanes.evaluate(lanes.problem.valid).loss.shape == (0,)


@kinds
@pytest.mark.parametrize(("targets", "diverges"), [(100.0, False), (1e-9, True)])
def test_a_first_example_that_is_learnt_already_is_no_measure(
    kind: type[Lanes], targets: float, diverges: bool
) -> None:
    """Its loss is 0 from the start, and that of the others is 1e4, or is told from nothing by its growth alone."""
    inputs, wanted = torch.ones(8, 1), torch.full((8, 1), targets)
    wanted[int(epoch_order(8, seed=3, epoch=0)[0])] = 0.0
    problem = Problem(
        model=lambda: nn.Linear(1, 1),
        loss=nn.functional.mse_loss,
        train=(inputs, wanted),
        valid=(inputs[:2], torch.full((2, 1), targets)),
        batch=1,
        epochs=1,
    )
    lanes = kind(problem, [3])
    for parameter in lanes.parameters:
        parameter.zero_()
    curves = train(lanes, Descent([1e6 if diverges else 1e-3]))
    assert curves.diverged.tolist() == [diverges]


class Slope(nn.Module):
    """Has a loss of the given value at each step, whatever the data."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.weight + 0 * inputs.mean(1)


class Follow:
    """Sets the only weight of all lanes to the next of a list."""

    def __init__(self, weights: list[float]) -> None:
        self.weights = weights

    def __call__(self, parameters: list[torch.Tensor], gradients: list[torch.Tensor], step: int) -> None:
        parameters[0].fill_(self.weights[step])

    def evaluated(self, parameters: list[torch.Tensor]) -> AbstractContextManager[None]:
        return nullcontext()

    def keep(self, mask: Any) -> None: ...


@pytest.mark.parametrize(
    ("weights", "step"),
    [
        ([1.0, 10_000, 0, 0], -1),
        ([1.0, 10_002, 0, 0], 2),
        ([-2.0, 0, 19_999, 0], 3),
        ([-2.0, 0, 19_997, 0], -1),
        ([0.0, 1e-3, 1.0, 0], 3),
        ([0.0, 0.0, float("nan"), 0], 3),
        ([0.0, float("-inf"), 0, 0], 2),
        ([1.0, 1.0, 1.0, float("inf")], 3),
    ],
)
def test_the_bound_is_ten_thousand_times_the_first_loss(weights: list[float], step: int) -> None:
    data = torch.zeros(4, 2), torch.zeros(4)
    problem = Problem(model=Slope, loss=lambda output, target: output.mean(), train=data, valid=data, batch=4, epochs=3)
    lanes = BatchedLanes(problem, [0, 1])
    with torch.no_grad():
        lanes.parameters[0].fill_(weights[0])
    curves = train(lanes, Follow(weights), evaluate_every=100)
    assert curves.diverged_at.tolist() == [step, step]


@pytest.mark.parametrize(
    "given", [{"steps": 0}, {"steps": 2.5}, {"evaluate_every": 0}, {"start": -1}, {"steps": 2, "start": 3}]
)
def test_bad_counts(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{list(given)[-1]}: must be"):
        train(BatchedLanes(make_problem(mlp), [0]), Descent([0.1]), **given)


def test_descent_is_an_update() -> None:
    update: Update = Descent([0.1])
    assert callable(update)
