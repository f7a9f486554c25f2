"""Runs with dropout: a lane has the numbers of its seed and its hyperparameters, in whatever company it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from fallline.training import (
    BatchedLanes,
    Curves,
    Lanes,
    Problem,
    SequentialLanes,
    lanes_for,
    obstacle_to_batching,
    train,
)
from tests.training.layers import convolutional_dropout, images
from tests.training.models import Descent, dropout, first_batch, make_problem

SEEDS = (3, 5, 3, 4, 5)
RATES = (0.05, 0.02, 0.03, 0.04, 0.05)


class Encoder(nn.Module):
    """Attention over 4 tokens of 4 features, with dropout everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.2, batch_first=True)
        self.head = nn.Linear(16, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = self.head(self.encode(inputs.unflatten(1, (4, 4))).flatten(1))  # type: ignore[no-untyped-call]
        return output


class Recurrent(nn.Module):
    """Draws from torch's generator, between the layers of its cells and for a noise of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.LSTM(4, 5, num_layers=2, dropout=0.5, batch_first=True)
        self.head = nn.Linear(5, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden, _ = self.cells(inputs.reshape(len(inputs), 4, 4))
        last = hidden[:, -1] + torch.randn(len(inputs), 1) * self.training
        output: Tensor = self.head(nn.functional.dropout(last, 0.2, self.training))
        return output


class Checkpointed(nn.Module):
    """Computes its first part again in the backward pass, or keeps what it computed."""

    def __init__(self, again: bool) -> None:
        super().__init__()
        self.again = again
        self.body = nn.Sequential(nn.Linear(16, 8), nn.Dropout(0.5), nn.Linear(8, 8), nn.Dropout(0.2))
        self.head = nn.Linear(8, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = checkpoint(self.body, inputs, use_reentrant=False) if self.again else self.body(inputs)
        output: Tensor = self.head(nn.functional.dropout(hidden, 0.3, self.training))
        return output


MODELS: dict[str, Callable[[], nn.Module]] = {
    "dropout": dropout,
    "first of all, in place": lambda: nn.Sequential(nn.Dropout(0.2, inplace=True), nn.Linear(16, 3)),
    "beside batch norm": lambda: nn.Sequential(
        nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3)
    ),
    "convolutions": convolutional_dropout,
    "convolutions, then of channels": lambda: images(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout2d(0.3), nn.MaxPool2d(2), features=16
    ),
    "alpha": lambda: nn.Sequential(nn.Linear(16, 8), nn.SELU(), nn.AlphaDropout(0.2), nn.Linear(8, 3)),
    "encoder": Encoder,
}
models = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
kinds = pytest.mark.parametrize("kind", [BatchedLanes, SequentialLanes])


def close(actual: Tensor | np.ndarray, expected: Tensor | np.ndarray) -> None:
    torch.testing.assert_close(torch.as_tensor(actual), torch.as_tensor(expected), rtol=5e-5, atol=5e-5)


def trained(lanes: Lanes, rates: Sequence[float] = RATES, steps: int | None = None, start: int = 0) -> Curves:
    return train(lanes, Descent(rates), steps=steps, start=start)


@models
@pytest.mark.parametrize("seeds", [SEEDS, (3, 3, 3, 3)], ids=["own batches", "shared batches"])
def test_side_by_side_as_in_turn(model: Callable[[], nn.Module], seeds: tuple[int, ...]) -> None:
    problem = make_problem(model)
    together, alone = (kind(problem, seeds) for kind in (BatchedLanes, SequentialLanes))
    for step in (1, 7):
        (loss, gradients), (expected, others) = (
            lanes.gradients(first_batch(lanes), step) for lanes in (together, alone)
        )
        close(loss, expected)
        for one, other in zip((*gradients, *together.buffers), (*others, *alone.buffers), strict=True):
            close(one, other)
    curves, expected_curves = (trained(lanes, RATES[: len(seeds)]) for lanes in (together, alone))
    close(curves.train_loss, expected_curves.train_loss)
    close(curves.valid_loss, expected_curves.valid_loss)


@models
@kinds
def test_in_a_population_as_alone(kind: type[Lanes], model: Callable[[], nn.Module]) -> None:
    problem = make_problem(model, epochs=2)
    lanes, alone = kind(problem, SEEDS), kind(problem, [4])
    curves, expected = trained(lanes), trained(alone, [RATES[3]])
    close(curves.train_loss[3], expected.train_loss[0])
    close(curves.valid_loss[3], expected.valid_loss[0])
    for parameter, other in zip(lanes.parameters, alone.parameters, strict=True):
        close(parameter[3], other[0])


@models
def test_all_of_them_can_be_batched(model: Callable[[], nn.Module]) -> None:
    assert obstacle_to_batching(make_problem(model), 3) is None
    assert isinstance(lanes_for(make_problem(model), SEEDS), BatchedLanes)


@kinds
@pytest.mark.parametrize("model", [dropout, MODELS["beside batch norm"]], ids=["dropout", "beside batch norm"])
def test_neighbours_that_diverge_change_nothing(kind: type[Lanes], model: Callable[[], nn.Module]) -> None:
    problem = make_problem(model)
    calm, wild = trained(kind(problem, SEEDS)), trained(kind(problem, SEEDS), (0.05, 1e30, 0.03, 1e12, 0.05))
    assert wild.diverged.tolist() == [False, True, False, True, False]
    close(wild.train_loss[[0, 2, 4]], calm.train_loss[[0, 2, 4]])
    close(wild.valid_loss[[0, 2, 4]], calm.valid_loss[[0, 2, 4]])


@kinds
def test_equal_seeds_have_equal_masks_and_others_do_not(kind: type[Lanes]) -> None:
    same = torch.ones(8, 16), torch.zeros(8, dtype=torch.int64)  # so that batches say nothing
    weights = nn.Sequential(nn.Linear(16, 8), nn.Dropout(0.5), nn.Linear(8, 3)).state_dict()

    def model() -> nn.Module:
        made = dropout()
        made.load_state_dict(weights)
        return made

    lanes = kind(make_problem(model, train=same, batch=8), SEEDS)
    batch = first_batch(lanes)
    first, again, later = (lanes.gradients(batch, step)[0].tolist() for step in (1, 1, 2))
    assert first == again
    assert first[0] == first[2]
    assert first[1] == first[4]
    assert len({*first, *later}) == 6


@kinds
def test_in_parts_as_in_one_go(kind: type[Lanes]) -> None:
    problem = make_problem(dropout)
    whole = trained(kind(problem, SEEDS))
    lanes = kind(problem, SEEDS)
    parts = [trained(lanes, steps=6), trained(lanes, start=6)]
    close(np.concatenate([part.train_loss for part in parts], 1), whole.train_loss)


@pytest.mark.parametrize("budget", [0, 20_000])
def test_little_memory_changes_nothing(budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = make_problem(MODELS["convolutions"])
    whole = trained(BatchedLanes(problem, SEEDS))
    monkeypatch.setattr("fallline.training.memory.BUDGET", budget)
    close(trained(BatchedLanes(problem, SEEDS)).train_loss, whole.train_loss)


def test_what_is_computed_again_has_the_same_masks() -> None:
    problems = (make_problem(lambda: Checkpointed(again=True)), make_problem(lambda: Checkpointed(again=False)))
    again, once = (SequentialLanes(problem, SEEDS) for problem in problems)
    (_, gradients), (_, expected) = (lanes.gradients(first_batch(lanes), 3) for lanes in (again, once))
    for one, other in zip(gradients, expected, strict=True):
        close(one, other)


def test_other_random_numbers_follow_from_the_seed_in_turn() -> None:
    problem = make_problem(Recurrent)
    curves, alone = trained(SequentialLanes(problem, SEEDS)), trained(SequentialLanes(problem, [5]), [RATES[1]])
    np.testing.assert_array_equal(curves.train_loss[1], alone.train_loss[0])
    np.testing.assert_array_equal(curves.valid_loss[1], alone.valid_loss[0])
    lanes = SequentialLanes(problem, SEEDS)
    assert len({float(lanes.gradients(first_batch(lanes), step)[0][0]) for step in (1, 2)}) == 2


def test_numbers_drawn_otherwise_do_not_rule_out_batching() -> None:
    noisy: Problem = make_problem(lambda: nn.Sequential(Noise(), nn.Linear(16, 3)))
    assert obstacle_to_batching(noisy, 3) is None


class Noise(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + torch.randn_like(inputs) if self.training else inputs
