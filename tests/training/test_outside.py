"""What users' losses, steps, models and data do that no single batch shows: it is told, or refused, in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, TensorDataset

import fallline as fl
from fallline.training.sequential import SequentialLanes

X, Y = torch.randn(24, 4, generator=torch.Generator().manual_seed(0)), torch.zeros(24, 1)
_CALLS = {"all": 0}


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))


def problem(**given: Any) -> fl.Problem:
    parts = {"train": (X, Y), "valid": (X[:8] + 1, Y[:8]), "test": (X[:8] - 1, Y[:8])}
    return fl.Problem(**{"model": network, **parts, "batch": 8, "epochs": 2, **given})


def late_teacher() -> Callable[..., Tensor]:
    """Renewed at a call that no check comes to."""
    teacher, calls = network(), 0

    def step(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls % 1000 == 0:
            teacher.load_state_dict(model.state_dict())
        return functional.mse_loss(model(x), teacher(x).detach())

    return step


class Warming:
    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        self.seen += 1
        return functional.mse_loss(output, target) if self.seen < 1000 else functional.l1_loss(output, target)


def counting(output: Tensor, target: Tensor) -> Tensor:
    _CALLS["all"] += 1
    return functional.mse_loss(output, target)


def listed(output: Tensor, target: Tensor, calls: list[int] = []) -> Tensor:  # noqa: B006
    calls.append(1)
    return functional.mse_loss(output, target)


class Indirect:
    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        return counting(output, target)


def made(text: str) -> Any:
    """A function of no module, as `exec` makes them."""
    names: dict[str, Any] = {"mse": functional.mse_loss, "seen": [0]}
    exec(text, names)
    names["loss"].__module__ = None
    return names["loss"]


def deeper(output: Tensor, target: Tensor) -> Tensor:
    return counting(output, target)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"step": late_teacher()}, "calls"),
        ({"loss": Warming()}, "seen"),
        ({"loss": Warming().__call__}, "seen"),
        ({"loss": counting}, "_CALLS"),
        ({"loss": deeper}, "_CALLS"),
        ({"loss": listed}, "its defaults"),
        ({"loss": Indirect()}, "_CALLS"),
        ({"loss": made("def loss(output, y):\n    seen[0] += 1\n    return mse(output, y)")}, "seen"),
        ({"loss": partial(lambda seen, output, target: (seen.append(1), output.mean())[1], [])}, "its arguments"),
    ],
    ids=[
        "a closure",
        "an object",
        "a method",
        "a global",
        "a function further on",
        "a default",
        "a call",
        "no module",
        "a partial",
    ],
)
def test_what_a_loss_keeps_outside_the_model_is_told(given: dict[str, Any], name: str) -> None:
    with pytest.warns(UserWarning, match=f"it changes '{name}', which is outside the model"):
        problem(**given).check()


class Rests(nn.Module):
    """Freezes its first layer at its third pass in training."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head, self.calls = nn.Linear(4, 8), nn.Linear(8, 1), 0

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.calls += 1
            if self.calls == 3:
                self.body.requires_grad_(False)
        return self.head(torch.tanh(self.body(x)))  # type: ignore[no-any-return]


def test_weights_that_are_frozen_on_the_way_are_refused_in_a_race() -> None:
    given = problem(model=Rests, loss=functional.mse_loss)
    with pytest.raises(fl.training.ProblemError, match=r"^model: it set requires_grad=False for body\.weight"):
        fl.race(given, ["sgd", "adam"], fl.Effort(trials=2, finalists=1, seeds=2), storage=None)
    assert fl.fit(given, "sgd", lr=0.1, progress=False).finished


class Wrapped(nn.Module):
    """Cross-entropy with a penalty on the outputs, so that those of ignored places have a slope too."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.CrossEntropyLoss(ignore_index=2)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        return self.inner(output, target) + 0.01 * output.square().mean()  # type: ignore[no-any-return]


def test_a_loss_inside_a_loss_says_what_it_ignores() -> None:
    labels = torch.arange(24) % 3
    parts = dict.fromkeys(("train", "valid", "test"), (X, labels))
    given = problem(model=lambda: nn.Linear(4, 3), loss=Wrapped(), metric="accuracy", **parts)
    output = functional.one_hot(labels.where(labels != 2, 0), 3).float()
    assert float(given.metric.function(output, labels)) == 1.0


class Named(Dataset[Any]):
    def __len__(self) -> int:
        return 8

    def __getitem__(self, place: int) -> Any:
        return {"a": X[place], "b": X[place]}, Y[place]


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (DataLoader(TensorDataset(X, Y), batch_size=None), r"each item of its Dataset must be a batch"),
        (Named(), r"can't become one tensor; pack"),
    ],
    ids=["single examples", "dictionaries"],
)
def test_data_of_another_shape_are_refused_with_a_remedy(train: Any, message: str) -> None:
    with pytest.raises(fl.training.ProblemError, match=message):
        problem(loss=functional.mse_loss, train=train)


class Branches(nn.Module):
    """Takes one of two ways, by turns, so that the loss reaches the other's weights in no such pass."""

    def __init__(self, ways: int) -> None:
        super().__init__()
        self.first, self.second, self.calls, self.ways = nn.Linear(4, 1), nn.Linear(4, 1), 0, ways

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return (self.second if self.calls % self.ways else self.first)(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize(("ways", "told"), [(2, True), (1, False)], ids=["by turns", "never"])
def test_weights_that_the_loss_reaches_now_and_then_are_told(ways: int, told: bool) -> None:
    given = problem(model=lambda: Branches(ways), loss=functional.mse_loss)
    lanes = SequentialLanes(given, [0, 1])
    batches = lanes.batches()
    expected: AbstractContextManager[object] = (
        pytest.warns(UserWarning, match="reaches (first|second)") if told else nullcontext()
    )
    with expected:
        for step in range(3):
            lanes.gradients(batches.at(step), step + 1)
