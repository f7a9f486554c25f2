"""What is recorded of a function does what the function does, or is not used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.func import vmap

import fallline as fl
from fallline.training import BatchedLanes
from fallline.training.errors import BatchingError
from fallline.training.tape import Tapes, recorded

WEIGHT = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)


def differentiated(x: Tensor) -> Sequence[Tensor]:
    loss = vmap(lambda row: (WEIGHT @ row).tanh().sum())(x).square().sum()
    return [loss.detach(), *torch.autograd.grad(loss, [WEIGHT])]


def in_place(x: Tensor) -> Sequence[Tensor]:
    y = x.clone()
    y[0].mul_(3)
    part = y.view(-1)[2:]
    part.add_(1)
    return [y, part]


FUNCTIONS: dict[str, Callable[[Tensor], Sequence[Tensor]]] = {
    "differentiated": differentiated,
    "in place": in_place,
    "several results": lambda x: [*x.max(1), *x.sort(0)],
    "what is given": lambda x: [x, x.T, x.detach()],
    "constants": lambda x: [x + torch.arange(3), torch.zeros(2), WEIGHT.detach()[1:]],
    "lists": lambda x: [torch.cat([x, x + 1]), torch.stack([x, x])],
    "nothing differs": lambda x: [torch.ones(2)],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_record_does_the_same(name: str) -> None:
    function = FUNCTIONS[name]
    first, other = (torch.randn(2, 3, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    results, again = recorded(function, first.clone())
    assert again is not None
    for given in (first, other, first):
        for one, expected in zip(again(given.clone()), function(given.clone()), strict=True):
            torch.testing.assert_close(one, expected, rtol=0, atol=0)
    assert len(results) == len(function(first))


def test_constants_are_read_anew() -> None:
    weight = torch.ones(2, 3)
    _, again = recorded(lambda x: [x * weight[1]], torch.ones(3))
    assert again is not None
    weight[1] = 5
    assert again(torch.ones(3))[0].tolist() == [5.0] * 3


SEEN: list[float] = []
TOTAL = torch.zeros(())


def counting(x: Tensor) -> Sequence[Tensor]:
    SEEN.append(1.0)
    return [x * len(SEEN)]


STRANGE: dict[str, Callable[[Tensor], Sequence[Tensor]]] = {
    "a branch": lambda x: [x * 2 if x.sum() > 0 else x],
    "a number for Python": lambda x: [x * float(x.sum())],
    "a constant that changes": lambda x: [x + TOTAL.add_(1)],
    "a count": counting,
    "numbers by NumPy": lambda x: [x * torch.from_numpy(x.numpy() * 2)],
    "a list": lambda x: [x * sum(x.tolist())],
    "drawn": lambda x: [x + torch.randn(3)],
}


@pytest.mark.parametrize("name", STRANGE)
def test_what_hangs_on_more_than_tensors_is_never_replaced(name: str) -> None:
    function, tapes, calls = STRANGE[name], Tapes(), []

    def watched(x: Tensor) -> Sequence[Tensor]:
        calls.append(x)
        return function(x)

    for number in range(5):
        tapes.call("name", watched, [torch.arange(3.0) - number])
    assert len(calls) == 5


def test_state_changes_once_a_call_and_stays_where_it_raises() -> None:
    tapes, state, rows = Tapes(), torch.zeros(2), torch.eye(3)

    def function(place: Tensor, state: Tensor) -> Sequence[Tensor]:
        state.add_(1)
        return [rows.index_select(0, place)]

    for _ in range(4):
        tapes.call("name", function, [torch.tensor([1])], [state])
    assert state.tolist() == [4.0, 4.0]
    with pytest.raises(IndexError):
        tapes.call("name", function, [torch.tensor([7])], [state])
    assert state.tolist() == [4.0, 4.0]


def test_shapes_and_names_have_records_of_their_own() -> None:
    tapes = Tapes()
    functions: dict[str, Callable[[Tensor], list[Tensor]]] = {"sum": lambda x: [x.sum()], "mean": lambda x: [x.mean()]}
    for _ in range(3):
        for name, function in functions.items():
            for size in (2, 3):
                given = torch.arange(size) + 1.0
                assert torch.equal(tapes.call(name, function, [given])[0], function(given)[0])


def test_what_is_written_outside_goes_on_being_written() -> None:
    """A log that a loss keeps has every step of a population, though its passes are recorded where there is none."""
    log: list[int] = []

    def logging(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        log.append(len(output))
        return nn.functional.mse_loss(output, target)

    x = torch.randn(40, 3)
    problem = fl.Problem(
        model=lambda: nn.Linear(3, 1), loss=logging, train=(x, x[:, :1]), valid=(x, x[:, :1]), batch=10
    )
    with pytest.warns(UserWarning, match="changes 'log'"):
        problem.check()
    lanes = BatchedLanes(problem, [0, 1, 2])
    before = len(log)
    for step in range(6):
        lanes.gradients(lanes.batches().at(step))
    assert len(log) - before == 6


class Counter:
    """A place outside the model."""

    calls = 0


PASSES: list[int] = []


def counted_in_a_class(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    Counter.calls += 1
    return torch.nn.functional.mse_loss(output, target)


class Seeing(torch.nn.Linear):
    """Its passes are counted in a global list."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        PASSES.append(1)
        return super().forward(x)


def numbers() -> Iterator[float]:
    yield from (0.0 if place < 40 else 1.0 for place in range(10**6))


@pytest.mark.parametrize("where", ["a class", "a forward pass", "a generator"])
def test_whatever_python_does_in_a_pass_goes_on(where: str) -> None:
    counts: list[int] = []
    drawn = numbers()

    def drawing(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        counts.append(0)
        return torch.nn.functional.mse_loss(output, target) + next(drawn) * output.square().mean()

    x = torch.randn(40, 3)
    model = Seeing if where == "a forward pass" else torch.nn.Linear
    loss = {"a class": counted_in_a_class, "a generator": drawing}.get(where, torch.nn.functional.mse_loss)
    problem = fl.Problem(model=lambda: model(3, 1), loss=loss, train=(x, x[:, :1]), valid=(x, x[:, :1]), batch=10)
    lanes = BatchedLanes(problem, [0, 1, 2])
    kinds = {
        "a class": lambda: Counter.calls,
        "a forward pass": lambda: len(PASSES),
        "a generator": lambda: len(counts),
    }
    before = kinds[where]()
    for step in range(20):
        lanes.gradients(lanes.batches().at(step % 4))
    assert kinds[where]() - before == 20


LEVEL = [0.0]


def annealed(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.mse_loss(output, target) + LEVEL[0] * output.square().mean()


def test_what_changes_outside_later_is_told() -> None:
    x = torch.randn(40, 3)
    problem = fl.Problem(
        model=lambda: torch.nn.Linear(3, 1), loss=annealed, train=(x, x[:, :1]), valid=(x, x[:, :1]), batch=10
    )
    lanes = BatchedLanes(problem, [0, 1, 2])
    for step in range(8):
        lanes.gradients(lanes.batches().at(step % 4))
    lanes.check()
    LEVEL[0] = 1.0
    with pytest.raises(BatchingError, match="'LEVEL', changes outside the model"):
        lanes.check()
    LEVEL[0] = 0.0
