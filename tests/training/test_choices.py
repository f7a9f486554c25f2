"""How a population is trained: in which way, how many lanes at once, in how many parts, and when it is evaluated."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fallline import rules
from fallline.training import (
    BatchedLanes,
    Curves,
    Lanes,
    Problem,
    ProblemError,
    SequentialLanes,
    cores,
    fastest,
    lanes_that_fit,
    make_lanes,
    train,
    train_in_parts,
)
from fallline.training.population import choice
from fallline.training.train import evaluation_points
from fallline.training.updates import LaneRule, LaneUpdate
from tests.training.models import Descent, branching, make_problem, mlp

kinds = pytest.mark.parametrize("kind", [BatchedLanes, SequentialLanes])


def measured_population(problem: Problem) -> Callable[[int, bool], tuple[Lanes, LaneUpdate]]:
    def population(lanes: int, batched: bool) -> tuple[Lanes, LaneUpdate]:
        made = make_lanes(problem, range(lanes), batched=batched)
        return made, LaneUpdate(made.parameters, [LaneRule(rules.adam, rules.adam.defaults)] * lanes)

    return population


@pytest.mark.parametrize(
    ("model", "ways"),
    [(mlp, ["batched", "in turn", "threads"]), (branching, ["in turn", "threads"])],
    ids=["batchable", "with an obstacle"],
)
def test_each_way_that_there_is_is_measured(model: Callable[[], nn.Module], ways: list[str]) -> None:
    problem = make_problem(model)
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    speed = fastest(problem, 0, measured_population(problem))
    assert sorted(speed.seconds) == ways
    assert (speed.obstacle is None) is ("batched" in ways)
    assert all(0 < seconds < 1 for seconds in speed.seconds.values())
    assert speed.way == choice(speed.seconds, cores())
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("batched", "in_turn", "threads", "way"),
    [
        (1.0, 2.0, 3.0, "batched"),
        (2.0, 1.0, 3.0, "in turn"),
        (1.0, 2.0, 0.3, "batched"),
        (1.0, 2.0, 0.15, "threads"),
        (2.0, 1.0, 0.15, "threads"),
        (None, 1.0, 0.3, "in turn"),
        (None, 1.0, 0.15, "threads"),
        (0.008, 0.009, 0.0001, "batched"),
        (None, 0.009, 0.0001, "in turn"),
    ],
)
def test_the_choice_beside_four_processes(batched: float | None, in_turn: float, threads: float, way: str) -> None:
    seconds = {"in turn": in_turn, "threads": threads}
    assert choice(seconds if batched is None else {**seconds, "batched": batched}, 4) == way


def test_other_work_does_not_change_the_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread's steps are measured by the time that they have a processor, whatever the clock says."""
    problem = make_problem(mlp)
    passed = itertools.count()
    with monkeypatch.context() as patch:
        patch.setattr(time, "perf_counter", lambda: 100.0 * next(passed))
        speed = fastest(problem, 0, measured_population(problem))
    assert speed.seconds["threads"] >= 100
    assert speed.seconds["batched"] < 1
    assert speed.seconds["in turn"] < 1


def lanes_by_memory(width: int) -> int:
    """2 ** 30 bytes, shared by lanes of 16 * width weights, six times each in float32, and a batch."""
    return int(2**30 // (6 * 4 * 16 * width + 16 * (16 * 4 + 8)))


def lanes_by_work(width: int, steps: int) -> int:
    """2e12 operations, shared by lanes of a forward pass of 16 examples, and a backward one of twice the work."""
    return int(2e12 // (3 * 2 * 16 * 16 * width * steps))


@pytest.mark.parametrize(
    ("width", "steps", "lanes"),
    [
        (3, None, 128),
        (50_000, 12, lanes_by_memory(50_000)),
        (750_000, 12, 4),
        (3, 2_000_000, lanes_by_work(3, 2_000_000)),
        (3, 10**9, 4),
    ],
    ids=["most", "memory", "fewest by memory", "work", "fewest by work"],
)
def test_the_number_of_lanes(width: int, steps: int | None, lanes: int) -> None:
    problem = make_problem(lambda: nn.Linear(16, width, bias=False))
    lanes = min(lanes, 128)
    assert lanes_that_fit(problem, steps) == (lanes if lanes < 32 else lanes // 32 * 32)


ERRORS = {
    "Python's": lambda: MemoryError(),
    "torch's": lambda: torch.OutOfMemoryError("CUDA out of memory."),
    "the CPU's": lambda: RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"),
    "of Windows": lambda: RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
}


class Narrow(Descent):
    """Needs more memory than there is for more than so many lanes."""

    def __init__(self, rates: Sequence[float], most: int, error: Callable[[], Exception]) -> None:
        super().__init__(rates)
        self.most, self.error = most, error

    def __call__(self, parameters: list[Tensor], gradients: list[Tensor], step: int) -> None:
        if step == 4 and len(self.rates) > self.most:
            raise self.error()
        super().__call__(parameters, gradients, step)


RUNS = [(3, 0.1), (5, 0.2), (3, 0.05), (4, 0.1), (5, 0.3), (6, 0.1), (3, 0.3)]


def trained(most: int, error: Callable[[], Exception]) -> tuple[list[float], list[tuple[int, int]]]:
    """The last validation losses of all runs, and which parts were tried: their sizes, and how many went before."""
    problem = make_problem(mlp)
    parts: list[tuple[int, int]] = []

    def train_part(part: Sequence[tuple[int, float]], done: int) -> list[float]:
        parts.append((len(part), done))
        seeds, rates = zip(*part, strict=True)
        curves: Curves = train(BatchedLanes(problem, seeds), Narrow(rates, most, error))
        return [float(loss) for loss in curves.valid_loss[:, -1]]

    return train_in_parts(RUNS, train_part), parts


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS.keys())
def test_where_memory_runs_out_populations_are_halved(error: Callable[[], Exception]) -> None:
    whole, parts = trained(7, error)
    assert parts == [(7, 0)]
    halved, parts = trained(2, error)
    assert parts == [(7, 0), (3, 0), (1, 0), (2, 1), (4, 3), (2, 3), (2, 5)]
    np.testing.assert_allclose(halved, whole, rtol=1e-5)


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (ERRORS["the CPU's"], ProblemError, "batch: there is not enough memory to train one run alone"),
        (lambda: RuntimeError("shapes differ"), RuntimeError, "shapes differ"),
        (lambda: ValueError("not enough memory"), ValueError, "^not enough memory"),
    ],
    ids=["one alone", "another error", "another type"],
)
def test_what_can_not_be_helped(error: Callable[[], Exception], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        trained(0, error)
    assert type(caught.value) is kind


def make_stream(batch: int) -> Problem:
    """A problem whose one epoch is gone through in the order of the examples."""
    problem = make_problem(mlp)
    inputs, targets = problem.train.inputs, problem.train.targets
    pieces = zip(torch.split(inputs, batch), torch.split(targets, batch), strict=True)
    return make_problem(mlp, train=list(pieces), steps=-(-len(inputs) // batch), epochs=None, batch=None)


@pytest.mark.parametrize(
    ("epochs", "batch", "steps", "points"),
    [
        (3, 14, 9, [0, 3, 6, 9]),
        (3, 14, 7, [0, 3, 6, 7]),
        (3, 14, 2, [0, 2]),
        (3, 42, 3, [0, 1, 2, 3]),
        (1, 2, 21, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21]),
        (1, 14, 3, [0] * 4 + [1] * 6 + [2] * 7 + [3] * 4),
    ],
)
def test_when_lanes_are_evaluated(epochs: int, batch: int, steps: int, points: list[int]) -> None:
    problem = make_problem(mlp, epochs=epochs, batch=batch)
    assert evaluation_points(problem, steps) == points
    assert evaluation_points(problem, steps, start=2) == [point for point in points if point > 2]


@kinds
@pytest.mark.parametrize("epochs", [1, 4])
def test_curves_have_as_many_points_whatever_the_batch(kind: type[Lanes], epochs: int) -> None:
    points = 21 if epochs == 1 else 5
    for batch in (3, 16, 42):
        problem = make_problem(mlp, epochs=epochs).with_batch(batch)
        curves = train(kind(problem, [3, 5]), Descent([0.1, 0.2]))
        assert curves.valid_loss.shape == curves.train_loss.shape == (2, points)
        assert curves.steps[-1] == problem.steps
        assert curves.samples[-1] == 42 * epochs
        assert np.isfinite(curves.valid_loss).all()
        assert np.isfinite(curves.train_loss).all()


@kinds
def test_a_stream_is_taken_in_its_order_by_every_seed(kind: type[Lanes]) -> None:
    problem = make_stream(16)
    lanes = kind(problem, [3, 5, 3])
    batches = lanes.batches()
    assert torch.cat([batches.at(step)[1] for step in range(3)]).tolist() == list(range(42))
    curves = train(lanes, Descent([0.1] * 3))
    assert curves.valid_loss.shape == (3, 21)
    module = problem.build(5)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    for start in range(0, 42, 16):
        inputs, targets = problem.train.inputs[start : start + 16], problem.train.targets[start : start + 16]
        optimizer.zero_grad()
        problem.training_loss(module, inputs, targets).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    expected = problem.evaluation_loss(module, problem.valid.inputs, problem.valid.targets).detach()
    np.testing.assert_allclose(curves.valid_loss[1, -1], float(expected), rtol=1e-5)
