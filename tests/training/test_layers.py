"""Models of every kind of layer: lanes side by side, lanes in turn and a lane alone have the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from fallline.training import BatchedLanes, Lanes, Problem, ProblemError, SequentialLanes, obstacle_to_batching, train
from fallline.training.modules import slots, unchanged_by
from fallline.training.stack import stack
from tests.training.layers import LAYERS, EvaluatedBody, frozen
from tests.training.models import Descent, first_batch, make_problem

SEEDS = (3, 5, 3, 4, 5)

layers = pytest.mark.parametrize("model", LAYERS.values(), ids=LAYERS.keys())
kinds = pytest.mark.parametrize("kind", [BatchedLanes, SequentialLanes])
functional = nn.functional


def close(actual: Any, expected: Any) -> None:
    torch.testing.assert_close(torch.as_tensor(actual), torch.as_tensor(expected), rtol=5e-5, atol=5e-5)


@layers
@pytest.mark.parametrize("seeds", [SEEDS, (3, 3, 3, 3)], ids=["own batches", "shared batches"])
def test_side_by_side_as_in_turn(model: Callable[[], nn.Module], seeds: tuple[int, ...]) -> None:
    problem = make_problem(model, epochs=2)
    rates = [0.01 * (lane + 1) for lane in range(len(seeds))]
    together, alone = (kind(problem, seeds) for kind in (BatchedLanes, SequentialLanes))
    for lanes in (together, alone):
        assert lanes.names == [name for name, tensor in problem.build(3).named_parameters() if tensor.requires_grad]
    curves, expected = (train(lanes, Descent(rates)) for lanes in (together, alone))
    for name in ("train_loss", "valid_loss", "valid_metric"):
        close(getattr(curves, name), getattr(expected, name))
    for one, other in zip((*together.parameters, *together.buffers), (*alone.parameters, *alone.buffers), strict=True):
        close(one, other)


@layers
def test_a_lane_in_a_population_as_alone(model: Callable[[], nn.Module]) -> None:
    problem = make_problem(model, epochs=2)
    curves = train(BatchedLanes(problem, SEEDS), Descent([0.01, 0.02, 0.03, 0.04, 0.05]))
    alone = train(SequentialLanes(problem, [4]), Descent([0.04]))
    close(curves.valid_loss[3], alone.valid_loss[0])
    close(curves.train_loss[3], alone.train_loss[0])


@layers
def test_all_of_them_can_be_batched(model: Callable[[], nn.Module]) -> None:
    assert obstacle_to_batching(make_problem(model), 3) is None


@kinds
@pytest.mark.parametrize("name", ["residual", "frozen body", "frozen body, evaluated", "frozen in part"])
def test_lanes_that_diverge_leave_the_others_alone(kind: type[Lanes], name: str) -> None:
    problem = make_problem(LAYERS[name], epochs=3)
    sound, wild = [0.01, 0.02, 0.03, 0.04, 0.05], [0.01, 1e12, 0.03, 1e30, 0.05]
    calm = train(kind(problem, SEEDS), Descent(sound))
    lanes = kind(problem, SEEDS)
    curves = train(lanes, Descent(wild))
    left = [0, 2, 4]
    assert lanes.index.tolist() == left
    assert curves.diverged.tolist() == [False, True, False, True, False]
    close(curves.valid_loss[left], calm.valid_loss[left])
    close(curves.train_loss[left], calm.train_loss[left])


def test_dropout_is_the_same_in_any_company() -> None:
    problem = make_problem(lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Dropout(0.5), nn.Linear(8, 3)))
    rates = [0.1, 0.1, 1e6, 0.1]  # the third diverges
    together = train(BatchedLanes(problem, [3, 4, 5, 3]), Descent(rates), steps=6)
    in_turn = train(SequentialLanes(problem, [3, 4, 5, 3]), Descent(rates), steps=6)
    alone = train(SequentialLanes(problem, [4]), Descent([0.1]), steps=6)
    np.testing.assert_allclose(together.train_loss, in_turn.train_loss, rtol=1e-4)
    np.testing.assert_allclose(together.train_loss[1], alone.train_loss[0], rtol=1e-4)
    np.testing.assert_allclose(together.train_loss[0], together.train_loss[3], rtol=1e-6)


def body_and_head(width: int) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(frozen(lambda: nn.Linear(16, width)), nn.Linear(width, 3))


def operations(problem: Problem, lanes: int) -> int:
    """Floating-point operations of a pass forward and backward, and of an evaluation."""
    made = BatchedLanes(problem, [3] * lanes)
    with FlopCounterMode(display=False) as counter:
        made.gradients(first_batch(made))
        made.evaluate(problem.valid)
    return int(counter.get_total_flops())


def test_a_frozen_body_costs_once_however_many_lanes_there_are() -> None:
    problem = make_problem(body_and_head(64))
    head = 2 * 64 * 3 * (2 * problem.batch + len(problem.valid))  # forward, for the weights, and to evaluate
    few, many = (operations(problem, lanes) for lanes in (2, 6))
    assert many - few == 4 * head
    assert few - 2 * head == 2 * 16 * 64 * (problem.batch + len(problem.valid))


@kinds
def test_a_frozen_body_is_not_stacked(kind: type[Lanes]) -> None:
    lanes = kind(make_problem(EvaluatedBody), SEEDS)
    assert lanes.names == ["head.weight", "head.bias"]
    assert lanes.buffers == []
    lanes.keep(np.array([True, False, True, True, False]))
    assert len(lanes.gradients(first_batch(lanes))[0]) == 3


@pytest.mark.parametrize(
    ("model", "buffers"),
    [
        (body_and_head(4), []),
        (lambda: nn.Sequential(nn.Linear(16, 4).requires_grad_(False), nn.Linear(4, 3)), [(4, 16), (4,)]),
        (lambda: nn.Sequential(frozen(lambda: nn.BatchNorm1d(16)), nn.Linear(16, 3)), [(16,), (16,), ()]),
        (lambda: nn.Sequential(frozen(lambda: nn.BatchNorm1d(16, momentum=0.0)), nn.Linear(16, 3)), [()]),
    ],
    ids=["alike for all seeds", "drawn for each seed", "changed by each pass", "changed in one count alone"],
)
def test_what_is_stacked(model: Callable[[], nn.Module], buffers: list[tuple[int, ...]]) -> None:
    problem = make_problem(model)
    probe = problem.build(3)
    unchanged = unchanged_by(lambda: probe(problem.train.inputs[:8]), slots(probe)[1])
    found = stack(problem.build, SEEDS, unchanged)
    assert [tuple(buffer.shape) for buffer in found.buffers] == [(5, *shape) for shape in buffers]
    modules = [problem.build(seed) for seed in (3, 4)]
    for module in modules:
        _, shared = found.share(slots(module)[1])
        assert [slot.tensor.data_ptr() for slot in shared] == [constant.data_ptr() for constant in found.constants]


class LateBuffer(nn.Module):
    """Replaces a buffer, but not in its first pass."""

    late: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(16, 3)
        self.register_buffer("late", torch.zeros(()))
        self.passes = 0

    def forward(self, inputs: Tensor) -> Tensor:
        self.passes += 1
        if self.passes > 1 and self.training:
            self.late = self.late + 1
        output: Tensor = self.linear(inputs)
        return output


def test_what_counts_its_passes_is_not_batched() -> None:
    with pytest.raises(ProblemError, match="the model keeps passes from pass to pass"):
        BatchedLanes(make_problem(LateBuffer), SEEDS)
    assert obstacle_to_batching(make_problem(LateBuffer), 3) == (
        "the model keeps passes from pass to pass, which is no parameter or buffer"
    )


def squared(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """A step that computes its loss from more than the output."""
    loss: Tensor = (model(inputs) - functional.one_hot(targets, 3)).square().mean() + model(-inputs).square().mean()
    return loss


@kinds
@pytest.mark.parametrize("metric", ["loss", "accuracy"])
def test_a_step_of_ones_own(kind: type[Lanes], metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = make_problem(LAYERS["batch norm without weights"], loss=None, step=squared, metric=metric)
    module = problem.build(5).eval()
    monkeypatch.setattr("fallline.training.memory.BUDGET", 20_000)  # so that lanes are evaluated in parts
    lanes = kind(problem, SEEDS)
    loss = squared(module, problem.valid.inputs, problem.valid.targets)
    quality = lanes.evaluate(problem.valid, examples=True)
    close(quality.loss[1], loss.detach().double())
    assert quality.example_loss is None
    assert (quality.example_metric is None) is (metric == "loss")
    curves = train(lanes, Descent([0.05] * 5))
    assert (curves.valid_loss[:, -1] < curves.valid_loss[:, 0]).all()
