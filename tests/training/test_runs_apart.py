"""Every run of a population is the run that it is alone: by a plain torch loop, by `fit`, in turn and side by side."""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import fallline as fl
from fallline.racing.runs import Job, Run, train_job
from fallline.training import (
    BatchedLanes,
    Batches,
    Problem,
    ProblemError,
    SequentialLanes,
    draws_of,
    lanes_for,
    obstacle_to_batching,
    train,
)
from fallline.training.updates import LaneRule, LaneUpdate
from tests.training.layers import frozen
from tests.training.models import Descent, make_problem, mlp

functional = nn.functional
SEEDS = (3, 5, 3, 4, 5)
RATES = (0.3, 0.2, 0.1, 0.05, 0.4)


class Guided(nn.Module):
    """A network beside a frozen copy of itself, from which its output is measured; `renew` changes the copy."""

    def __init__(self) -> None:
        super().__init__()
        self.net = mlp()
        self.target = copy.deepcopy(frozen(mlp))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def forward(self, inputs: Tensor) -> Tensor:
        self.renew(inputs)
        output: Tensor = self.net(inputs) + 0.5 * self.target(inputs).detach()
        return output

    def renew(self, inputs: Tensor) -> None:
        """Change the copy, at some time."""


def every_fifth_pass(self: Any, inputs: Tensor) -> None:
    self.passes = getattr(self, "passes", 0) + 1
    if self.passes % 5 == 0:
        self.target.load_state_dict(self.net.state_dict())


def on_a_counted_step(self: Any, inputs: Tensor) -> None:
    if self.training:
        self.count += 1
        if int(self.count) == 7:
            with torch.no_grad():
                for mine, other in zip(self.target.parameters(), self.net.parameters(), strict=True):
                    mine.lerp_(other, 0.5)


def through_data(self: Any, inputs: Tensor) -> None:
    self.passes = getattr(self, "passes", 0) + 1
    if self.passes == 7:
        for mine, other in zip(self.target.parameters(), self.net.parameters(), strict=True):
            mine.data.mul_(0.9).add_(other.data, alpha=0.1)


def through_new_data(self: Any, inputs: Tensor) -> None:
    if self.training:
        for mine, other in zip(self.target.parameters(), self.net.parameters(), strict=True):
            mine.data = 0.9 * mine.data + 0.1 * other.data


def in_evaluation_alone(self: Any, inputs: Tensor) -> None:
    if not self.training:
        with torch.no_grad():
            self.target[0].weight.copy_(self.net[0].weight)


def in_the_last_batch_alone(self: Any, inputs: Tensor) -> None:
    if self.training and len(inputs) < 16:
        with torch.no_grad():
            self.target[0].weight.add_(self.net[0].weight.detach(), alpha=0.5)


def in_the_last_batch_alone_alike(self: Any, inputs: Tensor) -> None:
    if self.training and len(inputs) < 16:
        self.target[0].weight.data.mul_(0.5)


def by_assignment(self: Any, inputs: Tensor) -> None:
    self.passes = getattr(self, "passes", 0) + 1
    if self.passes == 7:
        self.target = copy.deepcopy(self.net).requires_grad_(False)


def in_a_hidden_list(self: Any, inputs: Tensor) -> None:
    if "hidden" not in vars(self):
        self.hidden = [copy.deepcopy(self.net)]
    with torch.no_grad():
        for mine, other in zip(self.hidden[0].parameters(), self.net.parameters(), strict=True):
            mine.lerp_(other, 0.3)
        self.target.load_state_dict(self.hidden[0].state_dict())


def delayed_mean(self: Any, inputs: Tensor) -> None:
    if self.training:
        self.count += 1
        with torch.no_grad():
            hidden = self.net[0](inputs).mean(0)
            self.target[0].bias.lerp_(hidden, 0.3 * (self.count > 5))


RENEWALS = {
    renew.__name__.replace("_", " "): renew
    for renew in (
        every_fifth_pass,
        on_a_counted_step,
        through_data,
        through_new_data,
        in_evaluation_alone,
        in_the_last_batch_alone,
        in_the_last_batch_alone_alike,
        by_assignment,
        in_a_hidden_list,
        delayed_mean,
    )
}


def guided(renew: Callable[[Any, Tensor], None]) -> Callable[[], nn.Module]:
    return type("Renewed", (Guided,), {"renew": renew})


class Stateful(nn.Module):
    """Keeps its last hidden values, as plain attribute, and a list of what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(16, 8), nn.Linear(8, 3)
        self.hidden: Tensor | None = None
        self.seen: list[float] = []

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(inputs))
        if self.hidden is not None:
            hidden = hidden + 0.5 * self.hidden
        self.hidden = hidden.mean(0).detach()
        self.seen.append(float(self.hidden.sum()))
        output: Tensor = self.head(hidden) * (1 + 0.01 * len(self.seen))
        return output


class LazyBuffer(nn.Module):
    """Makes a buffer when it first sees inputs, and moves it on."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(16, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        if not hasattr(self, "mean"):
            self.register_buffer("mean", torch.zeros(inputs.shape[1]))
        if self.training:
            self.mean: Tensor = 0.9 * self.mean + 0.1 * inputs.mean(0) * self.head.weight.detach().norm()
        output: Tensor = self.head(inputs - self.mean)
        return output


class Growing(nn.Module):
    """A buffer that becomes longer."""

    bank: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(16, 3)
        self.register_buffer("bank", torch.zeros(1, 3))

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = self.head(inputs)
        if self.training:
            self.bank = torch.cat([self.bank, output.detach().mean(0, keepdim=True)])[-4:]
        return output + self.bank.mean(0)


class Clipped(nn.Module):
    """Keeps its weights short, before they are used."""

    def __init__(self, anew: bool) -> None:
        super().__init__()
        self.head = nn.Linear(16, 3)
        self.anew = anew

    def forward(self, inputs: Tensor) -> Tensor:
        weight = self.head.weight
        if self.anew:
            weight.data = weight.data.clamp(-0.1, 0.1)
        else:
            with torch.no_grad():
                weight.clamp_(-0.1, 0.1)
        output: Tensor = self.head(inputs)
        return output


STATEFUL: dict[str, Callable[[], nn.Module]] = {
    **{name: guided(renew) for name, renew in RENEWALS.items()},
    "plain attributes": Stateful,
    "a lazy buffer": LazyBuffer,
    "a buffer that grows": Growing,
    "weights clipped in place": lambda: Clipped(anew=False),
    "weights clipped anew": lambda: Clipped(anew=True),
}


class Variational(nn.Module):
    """Draws its code in training and in evaluation."""

    def __init__(self, draw: Callable[[Tensor], Tensor] = torch.randn_like) -> None:
        super().__init__()
        self.encode, self.decode = nn.Linear(16, 8), nn.Linear(4, 3)
        self.draw = draw

    def forward(self, inputs: Tensor) -> Tensor:
        mean, deviation = self.encode(inputs).chunk(2, 1)
        output: Tensor = self.decode(mean + functional.softplus(deviation) * self.draw(mean))
        return output


class MonteCarlo(nn.Module):
    """Dropout that evaluation does not switch off."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(16, 8), nn.Linear(8, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = self.head(functional.dropout(torch.relu(self.first(inputs)), 0.3, training=True))
        return output


class AlwaysTraining(nn.Dropout):
    def train(self, mode: bool = True) -> AlwaysTraining:
        return super().train(True)


DRAWN_SIDE_BY_SIDE: dict[str, Callable[[Tensor], Tensor]] = {
    "randn_like": torch.randn_like,
    "randn": lambda like: torch.randn(like.shape),
    "randn of numbers": lambda like: torch.randn(len(like), 4, dtype=like.dtype),
    "rand": lambda like: torch.rand(*like.shape),
    "rand_like": torch.rand_like,
    "normal": lambda like: torch.normal(torch.zeros(like.shape), 0.5),
    "normal of numbers": lambda like: torch.normal(1.0, 0.5, like.shape),
    "normal in place": lambda like: torch.empty(like.shape).normal_(0.5, 2.0),
    "uniform in place": lambda like: torch.empty(like.shape).uniform_(-1, 1),
    "bernoulli": lambda like: torch.bernoulli(torch.sigmoid(like.detach())),
    "distribution": lambda like: torch.distributions.Normal(torch.zeros_like(like), 1.0).rsample(),
}
DRAWN_IN_TURN: dict[str, Callable[[Tensor], Tensor]] = {
    "multinomial": lambda like: torch.multinomial(torch.ones(len(like), 4), 4, replacement=True).to(like.dtype),
    "randperm": lambda like: like.detach()[torch.randperm(len(like))],
    "randint": lambda like: torch.randint(0, 3, like.shape).to(like.dtype),
    "exponential": lambda like: torch.empty(like.shape).exponential_(),
    "Python": lambda like: torch.full(like.shape, random.random()),
    "NumPy": lambda like: torch.from_numpy(np.random.standard_normal(tuple(like.shape))).float(),
}
DRAWING: dict[str, Callable[[], nn.Module]] = {
    **{name: partial(Variational, draw) for name, draw in {**DRAWN_SIDE_BY_SIDE, **DRAWN_IN_TURN}.items()},
    "dropout in evaluation": MonteCarlo,
    "a layer in training mode": lambda: nn.Sequential(nn.Linear(16, 8), AlwaysTraining(0.4), nn.Linear(8, 3)),
    "dropout of cells": lambda: Cells(),
}


class Cells(nn.Module):
    """Recurrent layers, whose dropout torch draws itself."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.GRU(4, 5, num_layers=2, dropout=0.5, batch_first=True)
        self.head = nn.Linear(5, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = self.head(self.cells(inputs.reshape(len(inputs), 4, 4))[0][:, -1])
        return output


def plain_loop(problem: Problem, seed: int, rate: float) -> NDArray[np.float64]:
    """Train as anybody would, with the random numbers of this seed's run; train and validation losses [2, epochs]."""
    model = problem.build(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    batches = Batches(len(problem.train), problem.batch, [seed])

    def evaluated(step: int) -> float:
        model.eval()
        with draws_of(seed, step, "valid"):
            loss = problem.evaluation_loss(model, problem.valid.inputs.clone(), problem.valid.targets)
        model.train()
        return float(loss.detach())

    evaluated(0)
    curves, step = np.zeros((2, problem.epochs)), 0
    for epoch in range(problem.epochs):
        total = 0.0
        for _ in range(problem.steps_per_epoch):
            rows = batches.at(step)[0]
            step += 1
            optimizer.zero_grad()
            with draws_of(seed, step):
                loss = problem.training_loss(model, problem.train.inputs[rows], problem.train.targets[rows])
                loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += float(loss.detach()) * len(rows)
        curves[:, epoch] = total / len(problem.train), evaluated(step)
    return curves


def by_fit(problem: Problem, seed: int, rate: float) -> NDArray[np.float64]:
    result = fl.fit(problem, torch.optim.SGD, lr=rate, seed=seed, progress=False)
    return np.array([[point.training_loss for point in result.curves[1:]],
                     [point.validation_loss for point in result.curves[1:]]], np.float64)  # fmt: skip


def by_lanes(lanes: Any, rates: tuple[float, ...]) -> NDArray[np.float64]:
    curves = train(lanes, Descent(rates))
    return np.stack([curves.train_loss[:, 1:], curves.valid_loss[:, 1:]], 1)


def assert_runs_apart(problem: Problem, rates: tuple[float, ...] = RATES) -> None:
    """Each of five runs is the same by all ways."""
    with pytest.warns(UserWarning, match="one at a time") if obstacle_to_batching(problem, 3) else nullcontext():
        lanes = lanes_for(problem, SEEDS)
    found = by_lanes(lanes, rates)
    in_turn = by_lanes(SequentialLanes(problem, SEEDS), rates)
    assert len({*found[:, 1, -1].tolist()}) == 5
    for lane, (seed, rate) in enumerate(zip(SEEDS, rates, strict=True)):
        expected = plain_loop(problem, seed, rate)
        close(found[lane], expected)
        close(in_turn[lane], expected)
        close(by_fit(problem, seed, rate), expected)
        close(by_lanes(SequentialLanes(problem, [seed]), (rate,))[0], expected)


def numpy_state() -> list[int]:
    state: Any = np.random.get_state()
    numbers: list[int] = state[1].tolist()
    return numbers


def close(actual: NDArray[np.float64], expected: NDArray[np.float64]) -> None:
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", STATEFUL.values(), ids=STATEFUL.keys())
def test_what_a_run_changes_is_its_own(model: Callable[[], nn.Module]) -> None:
    assert_runs_apart(make_problem(model, metric="loss"))


@pytest.mark.parametrize("model", DRAWING.values(), ids=DRAWING.keys())
def test_what_a_run_draws_is_its_own(model: Callable[[], nn.Module]) -> None:
    state, other, third = torch.get_rng_state(), random.getstate(), numpy_state()
    assert_runs_apart(make_problem(model, metric="loss", epochs=2))
    assert torch.equal(torch.get_rng_state(), state)
    assert random.getstate() == other
    assert numpy_state() == third


@pytest.mark.parametrize("draw", DRAWN_SIDE_BY_SIDE.values(), ids=DRAWN_SIDE_BY_SIDE.keys())
def test_common_draws_go_side_by_side(draw: Callable[[Tensor], Tensor]) -> None:
    assert obstacle_to_batching(make_problem(lambda: Variational(draw), metric="loss"), 3) is None


class Marked(Guided):
    """Changes its copy on the one batch of training that is marked, or on the marked examples of an evaluation."""

    late: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("late", torch.zeros(3))

    def forward(self, inputs: Tensor) -> Tensor:
        if float(inputs[0, 0]) == 9:
            self.change()
        return super().forward(inputs) + self.late

    def change(self) -> None:
        """Change the copy, or the buffer."""


def changed_by_lanes_weights(self: Any) -> None:
    with torch.no_grad():
        self.target[0].weight.lerp_(self.net[0].weight, 0.5)


def changed_alike(self: Any) -> None:
    with torch.no_grad():
        self.target[0].weight.mul_(0.5)


def changed_through_data(self: Any) -> None:
    self.target[0].weight.data.mul_(0.5)


def changed_through_numpy(self: Any) -> None:
    self.target[0].weight.detach().numpy()[:] *= 0.5


def changed_to_new_data(self: Any) -> None:
    self.target[0].weight.data = self.target[0].weight.data * 0.5


def replaced(self: Any) -> None:
    self.late = self.net[2].bias.detach() + 1


def replaced_alike(self: Any) -> None:
    self.late = self.late + 1


def loaded(self: Any) -> None:
    self.target.load_state_dict(self.net.state_dict())


#: Whether lanes that go side by side get rows of their own then; else their runs begin again in turn.
CHANGES = {
    changed_by_lanes_weights: True,
    changed_alike: True,
    changed_through_data: False,
    changed_through_numpy: False,
    changed_to_new_data: False,
    replaced: True,
    replaced_alike: True,
    loaded: True,
}


def marked_problem(change: Callable[[Any], None], *, evaluation: bool) -> Problem:
    """A stream of 8 batches, of which the sixth is marked, or the validation examples."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(8, 16, 16, generator=generator)
    valid = torch.randn(30, 16, generator=generator)
    (valid[0] if evaluation else inputs[5, 0])[0] = 9
    batches = [(batch, (batch[:, 1] > 0).long()) for batch in inputs]
    return make_problem(
        type("Late", (Marked,), {"change": change}), metric="loss", train=batches, steps=8, epochs=None, batch=None,
        valid=(valid, (valid[:, 1] > 0).long()),
    )  # fmt: skip


def job(problem: Problem, lanes: slice = slice(None), *, batched: bool) -> Job:
    runs = [
        Run("sgd", {}, seed, LaneRule(fl.rules.gradient_descent, {"lr": rate}), problem.batch, problem.steps)
        for seed, rate in zip([*SEEDS][lanes], [*RATES][lanes], strict=True)
    ]
    return Job(tuple(runs), batched, score=False)


def assert_together_as_alone(problem: Problem) -> None:
    together = train_job(problem, job(problem, batched=True), lambda done: None)
    for lane, outcome in enumerate(together):
        (alone,) = train_job(problem, job(problem, slice(lane, lane + 1), batched=False), lambda done: None)
        assert not alone.diverged
        close(outcome.train_loss, alone.train_loss)
        close(outcome.valid_loss, alone.valid_loss)


BEGUN_AGAIN = "begun again and trained in turn, since they can't be batched: "


@pytest.mark.parametrize("evaluation", [False, True], ids=["in training", "in evaluation"])
@pytest.mark.parametrize(("change", "stays"), CHANGES.items())
def test_what_all_lanes_share_is_their_own_once_it_changes(
    change: Callable[[Any], None], stays: bool, evaluation: bool
) -> None:
    problem = marked_problem(change, evaluation=evaluation)
    with nullcontext() if stays else pytest.warns(UserWarning, match=BEGUN_AGAIN):
        assert_together_as_alone(problem)


class DrawsLate(Marked):
    """Draws, in a way of its own, on the marked batch."""

    def change(self) -> None:
        self.noise()

    def noise(self) -> None:
        torch.multinomial(torch.ones(3), 1)


class KeepsLate(Marked):
    def change(self) -> None:
        self.last = 3


class DropsLate(Marked):
    def forward(self, inputs: Tensor) -> Tensor:
        return functional.dropout(super().forward(inputs), 0.5 if float(inputs[0, 0]) == 9 else 0.0)


@pytest.mark.parametrize("model", [DrawsLate, KeepsLate, DropsLate])
def test_runs_that_turn_out_not_to_go_together_begin_again(model: type[Marked]) -> None:
    problem = marked_problem(model.change, evaluation=False)
    problem.model = model
    with pytest.warns(UserWarning, match=BEGUN_AGAIN):
        assert_together_as_alone(problem)


class Noisy(torch.optim.SGD):
    """Gradient descent with noise of its own."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        super().step(closure)
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.add_(torch.randn_like(parameter), alpha=0.01 * random.random())


def test_what_an_optimizer_draws_is_its_runs_own() -> None:
    problem = make_problem(mlp, metric="loss", epochs=2)
    lanes = BatchedLanes(problem, SEEDS)
    update = LaneUpdate(lanes.parameters, [LaneRule(Noisy, {"lr": rate}) for rate in RATES], SEEDS)
    curves = train(lanes, update)
    for lane, (seed, rate) in enumerate(zip(SEEDS, RATES, strict=True)):
        result = fl.fit(problem, Noisy, lr=rate, seed=seed, progress=False)
        close(curves.valid_loss[lane], np.array([point.validation_loss for point in result.curves], np.float64))


def counted() -> Callable[..., Tensor]:
    calls = itertools.count()
    return lambda model, x, y: functional.cross_entropy(model(x), y) * (1 + 0.1 * next(calls))


def own_generator() -> Callable[..., Tensor]:
    generator = torch.Generator().manual_seed(0)
    return lambda model, x, y: functional.cross_entropy(model(x + torch.randn(x.shape, generator=generator)), y)


def shared_teacher() -> Callable[..., Tensor]:
    """A teacher that is copied from the first model that comes, and follows whichever comes then."""
    teachers: list[nn.Module] = []

    def step(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        if not teachers:
            teachers.append(copy.deepcopy(model))
        with torch.no_grad():
            for mine, other in zip(teachers[0].parameters(), model.parameters(), strict=True):
                mine.lerp_(other, 0.5)
            guide = teachers[0](x)
        output = model(x)
        return functional.cross_entropy(output, y) + functional.mse_loss(output, guide)

    return step


class Running(nn.Module):
    """A loss with a buffer of its own."""

    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(()))

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        loss = functional.cross_entropy(output, target)
        self.scale = 0.9 * self.scale + 0.1 * loss.detach()
        return loss / self.scale


@pytest.mark.parametrize("make", [counted, own_generator, shared_teacher])
def test_steps_that_keep_something_outside_the_model_are_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(ProblemError, match="step: the same weights, examples and random numbers gave "):
        make_problem(mlp, loss=None, step=make()).check()


def test_losses_that_keep_something_are_refused() -> None:
    with pytest.raises(ProblemError, match="loss: the same weights, examples and random numbers gave "):
        make_problem(mlp, loss=Running()).check()


def test_a_step_may_keep_a_list() -> None:
    seen: list[float] = []

    def step(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        loss = functional.cross_entropy(model(x), y)
        seen.append(float(loss.detach()))
        return loss

    make_problem(mlp, loss=None, step=step).check()
    assert seen


@pytest.mark.parametrize("model", DRAWING.values(), ids=DRAWING.keys())
def test_what_draws_is_no_mistake(model: Callable[[], nn.Module]) -> None:
    make_problem(model, metric="loss").check()


def test_many_examples_are_evaluated_as_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = make_problem(MonteCarlo, epochs=2)
    monkeypatch.setattr("fallline.training.memory.BUDGET", 2_000)  # a few examples at once
    curves = by_lanes(lanes_for(problem, SEEDS), RATES)
    for lane, (seed, rate) in enumerate(zip(SEEDS, RATES, strict=True)):
        close(curves[lane], by_fit(problem, seed, rate))
        close(curves[lane], by_lanes(SequentialLanes(problem, [seed]), (rate,))[0])


def test_what_depends_on_the_whole_split_sees_it_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = make_problem(
        lambda: nn.Sequential(nn.BatchNorm1d(16, track_running_stats=False), nn.Linear(16, 3)), epochs=2
    )
    monkeypatch.setattr("fallline.training.memory.BUDGET", 2_000)
    assert_runs_apart(problem)
