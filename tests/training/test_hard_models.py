"""Models and steps that can't be mapped, or differentiate by themselves: they train in turn, as a plain loop does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fallline as fl
from fallline.training import Problem
from tests.training.models import make_problem
from tests.training.test_runs_apart import assert_runs_apart

functional = nn.functional


def smooth() -> nn.Module:
    return nn.Sequential(nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 1))


def physics(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """The residual of a differential equation: gradient equals value."""
    inputs = inputs.requires_grad_()
    value = model(inputs)
    (slope,) = torch.autograd.grad(value.sum(), inputs, create_graph=True)
    whole: Tensor = (slope.sum(1, keepdim=True) - value).square().mean() + (value[:, 0] - targets).square().mean()
    return whole


def twice(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """A second derivative."""
    inputs = inputs.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(model(inputs).sum(), inputs, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), inputs, create_graph=True)
    whole: Tensor = bend.square().mean() + (model(inputs)[:, 0] - targets).square().mean()
    return whole


def penalised(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """A penalty on the gradient by the parameters."""
    loss = (model(inputs)[:, 0] - targets).square().mean()
    gradients = torch.autograd.grad(loss, [*model.parameters()], create_graph=True)
    whole: Tensor = loss + 0.1 * sum((gradient.square().sum() for gradient in gradients), torch.zeros(()))
    return whole


def functional_gradient(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    slopes = torch.func.vmap(torch.func.grad(lambda x: model(x)[0]))(inputs)
    whole: Tensor = slopes.square().mean() + (model(inputs)[:, 0] - targets).square().mean()
    return whole


def forward_mode(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    value, slope, *_ = torch.func.jvp(lambda x: model(x), (inputs,), (torch.ones_like(inputs),))
    whole: Tensor = slope.square().mean() + (value[:, 0] - targets).square().mean()
    return whole


def adversarial(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """A step towards a larger loss, then the loss there."""
    inputs = inputs.detach().requires_grad_()
    loss = (model(inputs)[:, 0] - targets).square().mean()
    (uphill,) = torch.autograd.grad(loss, inputs)
    whole: Tensor = (model(inputs + 0.1 * uphill.sign())[:, 0] - targets).square().mean()
    return whole


def by_hook(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Reads a hidden layer by a hook."""
    seen: list[Tensor] = []
    assert isinstance(model, nn.Sequential)
    with model[0].register_forward_hook(lambda module, given, output: seen.append(output)):
        output = model(inputs)
    whole: Tensor = (output[:, 0] - targets).square().mean() + 0.1 * seen[0].square().mean()
    return whole


def overwriting(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    inputs.mul_(0.5)
    whole: Tensor = (model(inputs)[:, 0] - targets).square().mean()
    return whole


STEPS = {
    step.__name__.replace("_", " "): step
    for step in (
        physics, twice, penalised, functional_gradient, forward_mode, adversarial, by_hook, overwriting,
    )
}  # fmt: skip


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
def test_steps_that_differentiate(step: Callable[[nn.Module, Tensor, Tensor], Tensor]) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(70, 16, generator=generator)
    targets = inputs[:, 0].sin()
    problem = make_problem(
        smooth, loss=None, step=step, metric="loss", epochs=2, train=(inputs[:42], targets[:42]),
        valid=(inputs[42:], targets[42:]),
    )  # fmt: skip
    problem.check()
    assert_runs_apart(problem, (0.03, 0.02, 0.01, 0.05, 0.04))


class Graph(nn.Module):
    """Four nodes of four features, whose neighbours are rows of a sparse matrix."""

    adjacency: Tensor

    def __init__(self, layout: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.register_buffer("adjacency", layout(torch.eye(4).roll(1, 0) + 0.5 * torch.eye(4)))
        self.mix, self.head = nn.Linear(4, 4), nn.Linear(16, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        nodes = inputs.view(-1, 4, 4).permute(1, 0, 2).reshape(4, -1)
        mixed = torch.sparse.mm(self.adjacency, nodes).view(4, -1, 4).permute(1, 0, 2)
        output: Tensor = self.head(torch.relu(self.mix(mixed)).flatten(1))
        return output


class SparseTokens(nn.Module):
    """An embedding whose gradient is sparse."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(7, 4, sparse=True), nn.Linear(64, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        tokens = inputs.abs().mul(2).long().clamp_max(6)
        output: Tensor = self.head(self.embed(tokens).flatten(1))
        return output


class Bags(nn.Module):
    def __init__(self, **given: Any) -> None:
        super().__init__()
        self.embed, self.head = nn.EmbeddingBag(7, 4, **given), nn.Linear(4, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = self.head(self.embed(inputs.abs().mul(2).long().clamp_max(6)))
        return output


class Packed(nn.Module):
    """Sequences of different lengths, packed."""

    def __init__(self) -> None:
        super().__init__()
        self.cells, self.head = nn.GRU(2, 5, batch_first=True), nn.Linear(5, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        lengths = inputs[:, 0].abs().mul(3).long().clamp(1, 8)
        packed = nn.utils.rnn.pack_padded_sequence(
            inputs.view(len(inputs), 8, 2), lengths, batch_first=True, enforce_sorted=False
        )
        _, last = self.cells(packed)
        output: Tensor = self.head(last[0])
        return output


class Exponential(torch.autograd.Function):
    """Says its own gradient, but not how it is mapped."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y: Tensor = x.exp()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        gradient: Tensor = 0.5 * g * y
        return gradient  # not the true one, so that nobody can guess it


class Custom(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(16, 8), nn.Linear(8, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = self.head(Exponential.apply(-self.first(inputs).square()))  # type: ignore[no-untyped-call]
        return output


class Spectral(nn.Module):
    """A complex buffer, and a filter in the domain of frequencies."""

    phase: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("phase", torch.polar(torch.ones(9), torch.arange(9.0)))
        self.gain, self.head = nn.Parameter(torch.ones(9)), nn.Linear(16, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = self.head(torch.fft.irfft(torch.fft.rfft(inputs) * self.phase * self.gain, n=16))
        return output


class Items(nn.Module):
    """Branches on a number that it takes out of a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(16, 8), nn.Linear(8, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.first(inputs)
        scale = 1.0 if hidden.mean().item() > 0 else 2.0
        output: Tensor = self.head(torch.relu(hidden) * scale)
        return output


class Integers(nn.Module):
    """Parameters that are whole numbers, and stay."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.arange(16) % 3, requires_grad=False)
        self.flags = nn.Parameter(torch.arange(16) % 2 == 0, requires_grad=False)
        self.head = nn.Linear(16, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = self.head((inputs + self.shift) * self.flags)
        return output


class Quantised(nn.Module):
    """A body in eight bits."""

    body: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("body", torch.quantize_per_tensor(torch.eye(16) * 0.7, 0.1, 0, torch.qint8))
        self.head = nn.Linear(16, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = self.head(inputs @ self.body.dequantize())
        return output


class Forces(nn.Module):
    """Gives minus the gradient of an energy, in evaluation too."""

    def __init__(self) -> None:
        super().__init__()
        self.energy = nn.Sequential(nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, inputs: Tensor) -> Tensor:
        inputs = inputs.requires_grad_()
        (slope,) = torch.autograd.grad(self.energy(inputs).sum(), inputs, create_graph=True)
        return -slope[:, :3]


class Switched(Forces):
    """Switches gradients on by itself."""

    def forward(self, inputs: Tensor) -> Tensor:
        with torch.enable_grad():
            return super().forward(inputs)


class ShortTokens(nn.Module):
    """Rows of the embedding are made shorter as they are looked up."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(7, 4, max_norm=0.5), nn.Linear(64, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = self.head(self.embed(inputs.abs().mul(2).long().clamp_max(6)).flatten(1))
        return output


HARD: dict[str, Callable[[], nn.Module]] = {
    "sparse buffer": lambda: Graph(Tensor.to_sparse),
    "sparse rows as buffer": lambda: Graph(Tensor.to_sparse_csr),
    "sparse gradient": SparseTokens,
    "bags": Bags,
    "bags with sparse gradient": lambda: Bags(sparse=True),
    "rows kept short": ShortTokens,
    "packed sequences": Packed,
    "function of one's own": Custom,
    "complex buffer": Spectral,
    "branch on a number": Items,
    "whole numbers": Integers,
    "quantised": Quantised,
    "old weight norm": lambda: nn.Sequential(nn.utils.weight_norm(nn.Linear(16, 3))),
    "old spectral norm": lambda: nn.Sequential(nn.utils.spectral_norm(nn.Linear(16, 3))),
    "spectral norm": lambda: nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(16, 3))),
}


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support", "ignore:.*weight_norm", "ignore:.*quantize")
@pytest.mark.parametrize("model", HARD.values(), ids=HARD.keys())
def test_models_that_are_hard_to_map(model: Callable[[], nn.Module]) -> None:
    problem = make_problem(model, epochs=2)
    problem.check()
    assert_runs_apart(problem)


@pytest.mark.parametrize("model", [Forces, Switched])
def test_models_that_differentiate_in_evaluation(model: Callable[[], nn.Module]) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(70, 16, generator=generator)
    problem = make_problem(
        model, loss=functional.mse_loss, metric="r2", epochs=2, train=(inputs[:42], inputs[:42, :3].sin()),
        valid=(inputs[42:], inputs[42:, :3].sin()),
    )  # fmt: skip
    problem.check()
    assert_runs_apart(problem, (0.03, 0.02, 0.01, 0.05, 0.04))


@pytest.mark.parametrize(("model", "step"), [(smooth, physics), (SparseTokens, None), (HARD["sparse buffer"], None)])
def test_they_race(model: Callable[[], nn.Module], step: Any) -> None:
    changes: dict[str, Any] = {} if step is None else {"loss": None, "step": step, "metric": "loss"}
    if step is not None:
        inputs = torch.randn(70, 16, generator=torch.Generator().manual_seed(0))
        pair = inputs, inputs[:, 0].sin()
        changes |= {"train": (pair[0][:42], pair[1][:42]), "valid": (pair[0][42:], pair[1][42:])}
    test = make_problem(model, **changes).valid
    problem: Problem = make_problem(model, epochs=1, test=(test.inputs, test.targets), **changes)
    result = fl.race(problem, ["sgd", "adam"], effort="quick", storage=None)
    assert {arm.name for arm in result.arms} == {"sgd", "adam"}
