"""Batched lanes against lanes in turn against a plain torch loop."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fallline.training import BatchedLanes, Curves, Lanes, Metric, Problem, SequentialLanes, lanes_for, train
from fallline.training.lane_operations import LaneOperations
from fallline.training.modules import trainable
from tests.training.models import (
    BATCHABLE,
    UNBATCHABLE,
    Descent,
    branching,
    dropout,
    first_batch,
    make_problem,
    mlp,
    plain_training,
)

functional = nn.functional
SEEDS = (3, 5, 3, 4, 5)
ROUNDING = {torch.float32: 2e-5, torch.float64: 1e-12}

batchable = pytest.mark.parametrize("model", BATCHABLE.values(), ids=BATCHABLE.keys())
seeded = pytest.mark.parametrize("seeds", [SEEDS, (3, 3, 3)], ids=["own batches", "shared batches"])
kinds = pytest.mark.parametrize("kind", [BatchedLanes, SequentialLanes])


def close(actual: Any, expected: Any, tolerance: float = 2e-5) -> None:
    torch.testing.assert_close(torch.as_tensor(actual), torch.as_tensor(expected), rtol=tolerance, atol=tolerance)


def numbers_of(curves: Curves, lane: int) -> NDArray[np.float64]:
    """Train loss, validation loss and metric [3, epochs] of one lane."""
    return np.stack([curves.train_loss[lane, 1:], curves.valid_loss[lane, 1:], curves.valid_metric[lane, 1:]])


def plain_gradients(problem: Problem, lanes: Lanes, indices: Tensor) -> list[list[Tensor]]:
    """The gradients of each lane, taken by ordinary modules; zeros for a parameter that is not used."""
    lists = []
    for seed in lanes.seeds:
        rows = indices[lanes.streams.index(seed)]
        module = problem.build(seed)
        problem.training_loss(module, problem.train.inputs[rows], problem.train.targets[rows]).backward()  # type: ignore[no-untyped-call]
        lists.append([torch.zeros_like(p) if p.grad is None else p.grad for p in trainable(module)])
    return lists


@kinds
@batchable
@seeded
def test_gradients_are_those_of_ordinary_modules(
    kind: type[Lanes], model: Callable[[], nn.Module], seeds: tuple[int, ...]
) -> None:
    problem = make_problem(model)
    lanes = kind(problem, seeds)
    indices = first_batch(lanes)
    losses, gradients = lanes.gradients(indices)
    assert losses.shape == (len(seeds),)
    assert all(gradient.is_contiguous() for gradient in gradients)
    assert not any(tensor.requires_grad for tensor in (losses, *gradients, *lanes.parameters))
    for lane, expected in enumerate(plain_gradients(problem, lanes, indices)):
        for gradient, own in zip(gradients, expected, strict=True):
            close(gradient[lane], own, ROUNDING[own.dtype])


@kinds
@batchable
@seeded
def test_training_is_that_of_a_plain_loop(
    kind: type[Lanes], model: Callable[[], nn.Module], seeds: tuple[int, ...]
) -> None:
    problem = make_problem(model)
    rates = [0.01 * (lane + 1) for lane in range(len(seeds))]
    lanes = kind(problem, seeds)
    curves = train(lanes, Descent(rates))
    for lane, (seed, rate) in enumerate(zip(seeds, rates, strict=True)):
        module, expected = plain_training(problem, seed, rate)
        close(numbers_of(curves, lane), expected)
        parameters = dict(zip(lanes.names, lanes.parameters, strict=True))
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                close(parameters[name][lane], parameter.detach())
        for stacked, buffer in zip(lanes.buffers, module.buffers(), strict=False):
            if stacked.shape[1:] == buffer.shape and stacked.is_floating_point():
                close(stacked[lane], buffer)


@batchable
def test_lanes_for_finds_that_a_model_can_be_batched(model: Callable[[], nn.Module]) -> None:
    assert isinstance(lanes_for(make_problem(model), range(4)), BatchedLanes)


@pytest.mark.parametrize("model", UNBATCHABLE.values(), ids=UNBATCHABLE.keys())
def test_what_can_not_be_batched_takes_turns_and_says_why(model: Callable[[], nn.Module]) -> None:
    problem = make_problem(model)
    with pytest.warns(UserWarning, match=r"one at a time, since they can't be batched: .+\.$") as caught:
        lanes = lanes_for(problem, SEEDS)
    assert len(caught) == 1
    assert isinstance(lanes, SequentialLanes)
    curves = train(lanes, Descent([0.05] * 5))
    for lane in (0, 1):
        close(numbers_of(curves, lane), plain_training(problem, SEEDS[lane], 0.05)[1])


def test_few_lanes_take_turns_without_a_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(lanes_for(make_problem(branching), [0, 1]), SequentialLanes)


def test_masks_of_dropout_follow_from_the_seed_and_the_step() -> None:
    problem = make_problem(dropout)
    lanes = lanes_for(problem, [3] * 6)
    assert isinstance(lanes, BatchedLanes)
    losses, _ = lanes.gradients(first_batch(lanes), 1)
    assert len(set(losses.tolist())) == 1
    later, _ = lanes.gradients(first_batch(lanes), 2)
    assert float(later[0]) != float(losses[0])
    assert len(set(lanes.evaluate(problem.valid).loss.tolist())) == 1


@kinds
def test_dropout_repeats_itself_and_leaves_the_generator_alone(kind: type[Lanes]) -> None:
    problem = make_problem(dropout)
    state = torch.get_rng_state()
    first, again = (train(kind(problem, SEEDS), Descent([0.1] * 5)) for _ in range(2))
    np.testing.assert_array_equal(first.valid_loss, again.valid_loss)
    assert torch.equal(torch.get_rng_state(), state)
    assert (first.train_loss[:, -1] < first.train_loss[:, 0]).all()


@kinds
def test_equal_seeds_start_alike(kind: type[Lanes]) -> None:
    lanes = kind(make_problem(mlp), SEEDS)
    losses, _ = lanes.gradients(first_batch(lanes))
    assert lanes.streams == (3, 5, 4)
    assert losses[0] == losses[2]
    assert losses[1] == losses[4]
    assert len(set(losses.tolist())) == 3
    assert all(torch.equal(parameter[0], parameter[2]) for parameter in lanes.parameters)


@kinds
@batchable
def test_kept_lanes_go_on_as_if_alone(kind: type[Lanes], model: Callable[[], nn.Module]) -> None:
    problem = make_problem(model)
    lanes, alone = kind(problem, SEEDS), kind(problem, [5, 4])
    lanes.gradients(first_batch(lanes))
    alone.gradients(first_batch(alone))
    lanes.keep(np.array([False, False, False, True, True]))
    assert (lanes.seeds, lanes.streams, lanes.index.tolist(), len(lanes)) == ((4, 5), (4, 5), [3, 4], 2)
    for one, other in zip((*lanes.parameters, *lanes.buffers), (*alone.parameters, *alone.buffers), strict=True):
        close(one, other.flip(0))
    loss, gradients = lanes.gradients(first_batch(lanes))
    other_loss, others = alone.gradients(first_batch(alone))
    close(loss, other_loss.flip(0))
    for gradient, other in zip(gradients, others, strict=True):
        close(gradient, other.flip(0))
    close(lanes.evaluate(problem.valid).loss, alone.evaluate(problem.valid).loss.flip(0))


@kinds
def test_an_update_in_place_reaches_the_lanes(kind: type[Lanes]) -> None:
    problem = make_problem(mlp)
    lanes = kind(problem, SEEDS)
    with torch.no_grad():
        for parameter in lanes.parameters:
            parameter.zero_()
    expected = torch.full((5,), float(np.log(3)))
    close(lanes.gradients(first_batch(lanes))[0], expected)
    close(lanes.evaluate(problem.valid).loss, expected.double())


@kinds
def test_little_memory_changes_nothing(kind: type[Lanes], monkeypatch: pytest.MonkeyPatch) -> None:
    problem = make_problem(BATCHABLE["batch norm"])

    def numbers() -> list[Tensor]:
        lanes = kind(problem, SEEDS)
        losses, gradients = lanes.gradients(first_batch(lanes))
        quality = lanes.evaluate(problem.valid, examples=True)
        assert quality.example_loss is not None
        return [losses, *gradients, *lanes.buffers, quality.loss, quality.metric, quality.example_loss]

    whole = numbers()
    for budget in (0, 5000):
        monkeypatch.setattr("fallline.training.memory.BUDGET", budget)
        for part, expected in zip(numbers(), whole, strict=True):
            close(part, expected)


@kinds
def test_data_are_never_written(kind: type[Lanes]) -> None:
    problem = make_problem(lambda: nn.Sequential(nn.ReLU(inplace=True), nn.Linear(16, 3)))
    inputs = problem.train.inputs.clone(), problem.valid.inputs.clone()
    train(kind(problem, [1, 1, 1]), Descent([0.1] * 3))
    assert torch.equal(problem.train.inputs, inputs[0])
    assert torch.equal(problem.valid.inputs, inputs[1])


@kinds
def test_shares_of_examples(kind: type[Lanes]) -> None:
    problem = make_problem(mlp)
    lanes = kind(problem, SEEDS)
    quality = lanes.evaluate(problem.valid, examples=True)
    module = problem.build(5)
    output = module(problem.valid.inputs)
    assert quality.example_loss is not None
    assert quality.example_metric is not None
    close(quality.example_loss[1], functional.cross_entropy(output, problem.valid.targets, reduction="none").double())
    close(quality.example_metric[1], (output.argmax(1) == problem.valid.targets).double())
    close(quality.example_metric.mean(1), quality.metric)
    assert lanes.evaluate(problem.valid).example_loss is None


def spread_score(output: Tensor, target: Tensor) -> float:
    return float(output.std())


@kinds
@pytest.mark.parametrize(
    ("changes", "loss_splits", "metric_splits"),
    [
        ({"loss": nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 5.0]))}, False, True),
        ({"loss": lambda output, target: output.std() + 0 * target.sum()}, False, True),
        ({"metric": "loss"}, True, True),
        ({"metric": spread_score}, True, False),
        ({"metric": Metric("spread", spread_score, higher_is_better=False)}, True, False),
    ],
    ids=["weighted", "of the whole batch", "loss as metric", "score", "Metric"],
)
def test_what_is_no_mean_over_examples(
    kind: type[Lanes], changes: dict[str, Any], loss_splits: bool, metric_splits: bool
) -> None:
    problem = make_problem(mlp, **changes)
    quality = kind(problem, SEEDS).evaluate(problem.valid, examples=True)
    output = problem.build(4)(problem.valid.inputs).detach()
    assert problem.loss is not None
    close(quality.loss[3], problem.loss(output, problem.valid.targets).double())
    close(quality.metric[3], torch.as_tensor(problem.metric.function(output, problem.valid.targets)).double())
    assert (quality.example_loss is not None) is loss_splits
    assert (quality.example_metric is not None) is metric_splits


@pytest.mark.parametrize("seeds", [[], [-1], [1.5], [True], [2**63]])
def test_bad_seeds(seeds: Any) -> None:
    with pytest.raises(ValueError, match="seeds: "):
        BatchedLanes(make_problem(mlp), seeds)


@pytest.mark.parametrize("mask", [np.array([True]), np.array([1, 0, 1, 1, 1])])
def test_bad_masks(mask: Any) -> None:
    with pytest.raises(ValueError, match="mask: must be 5 booleans"):
        BatchedLanes(make_problem(mlp), SEEDS).keep(mask)


SHORT: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "torch.softmax": lambda rows, labels: torch.softmax(rows, -1),
    "Tensor.softmax": lambda rows, labels: rows.softmax(1),
    "functional.softmax": lambda rows, labels: functional.softmax(rows, dim=1),
    "nn.Softmax": lambda rows, labels: nn.Softmax(-1)(rows),
    "along the examples": lambda rows, labels: torch.softmax(rows, 0),
    "in float64": lambda rows, labels: torch.softmax(rows, 1, dtype=torch.float64),
    "torch.log_softmax": lambda rows, labels: torch.log_softmax(rows, 1),
    "Tensor.log_softmax": lambda rows, labels: rows.log_softmax(-1),
    "nn.LogSoftmax": lambda rows, labels: nn.LogSoftmax(1)(rows),
    "of a cube": lambda rows, labels: torch.softmax(rows.view(4, 5, -1), -1),
    "of one row": lambda rows, labels: torch.softmax(rows[0], 0),
    "cross_entropy": functional.cross_entropy,
    "CrossEntropyLoss": lambda rows, labels: nn.CrossEntropyLoss()(rows, labels),
    "summed": lambda rows, labels: functional.cross_entropy(rows, labels, reduction="sum"),
    "of each example": lambda rows, labels: functional.cross_entropy(rows, labels, reduction="none"),
    "weighted": lambda rows, labels: functional.cross_entropy(rows, labels, torch.arange(1.0, 1 + rows.shape[1])),
    "ignoring": lambda rows, labels: functional.cross_entropy(rows, labels, ignore_index=1),
    "smoothed": lambda rows, labels: functional.cross_entropy(rows, labels, label_smoothing=0.1),
    "of shares": lambda rows, labels: functional.cross_entropy(rows, rows.detach().softmax(1)),
    "of one label": lambda rows, labels: functional.cross_entropy(rows[0], labels[0]),
}


@pytest.mark.parametrize("classes", [3, 40])
@pytest.mark.parametrize("function", SHORT.values(), ids=SHORT.keys())
def test_short_rows_give_what_torch_gives(function: Callable[[Tensor, Tensor], Tensor], classes: int) -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(20, classes, generator=generator, requires_grad=True)
    labels = torch.randint(0, 3, (20,), generator=generator)
    expected = function(rows, labels)
    with LaneOperations(id):
        actual = function(rows, labels)
    assert actual.dtype == expected.dtype
    close(actual.detach(), expected.detach(), 1e-6)
    one, other = (torch.autograd.grad(value.square().sum(), rows)[0] for value in (actual, expected))
    close(one, other, 1e-6)
