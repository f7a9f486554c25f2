"""Small problems of every kind of layer, and a plain loop to train them by."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fallline.training import Batches, Lanes, Problem

functional = nn.functional


class Branching(nn.Linear):
    """Takes another way where the data say so."""

    def forward(self, input: Tensor) -> Tensor:
        hidden = super().forward(input)
        return hidden if hidden.sum() > 0 else 2 * hidden


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTM(4, 5, batch_first=True)
        self.head = nn.Linear(5, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden, _ = self.cell(inputs.reshape(len(inputs), 4, 4))
        output: Tensor = self.head(hidden[:, -1])
        return output


class Tied(nn.Module):
    """One matrix used twice, a frozen one, one that nothing uses, and a buffer that is replaced in every pass."""

    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.there = nn.Linear(16, 16)
        self.back = nn.Linear(16, 16)
        self.back.weight = self.there.weight
        self.fixed = nn.Linear(16, 3).requires_grad_(False)
        self.idle = nn.Parameter(torch.ones(2))
        self.register_buffer("count", torch.zeros(()))

    def forward(self, inputs: Tensor) -> Tensor:
        if self.training:
            self.count = self.count + inputs.mean()
        output: Tensor = self.fixed(self.back(torch.tanh(self.there(inputs))))
        return output


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(4, 12)
        self.head = nn.Linear(16, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        query, key, value = self.project(inputs.reshape(len(inputs), 4, 4)).chunk(3, -1)
        weights = torch.softmax(query @ key.transpose(-1, -2), -1)
        output: Tensor = self.head((weights @ value).flatten(1))
        return output


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(16, 8), nn.ReLU(inplace=True), nn.Linear(8, 3))


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 4, 4)),
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 3),
    )


def batch_norm() -> nn.Module:
    return nn.Sequential(nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def layer_norm() -> nn.Module:
    return nn.Sequential(nn.Linear(16, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 3), nn.LogSoftmax(1))


def dropout() -> nn.Module:
    return nn.Sequential(nn.Linear(16, 8), nn.Dropout(0.5), nn.Linear(8, 3))


def embedding() -> nn.Module:
    return nn.Sequential(nn.Embedding(7, 4), nn.Flatten(), nn.Linear(64, 3))


def branching() -> nn.Module:
    return Branching(16, 3)


def wide() -> nn.Module:
    return nn.Linear(16, 3, dtype=torch.float64)


def pretrained() -> nn.Module:
    """A body that stays as it is, copied, and a new head."""
    body = copy.deepcopy(BODY).requires_grad_(False)
    return nn.Sequential(body, nn.Linear(8, 3))


BODY = nn.Sequential(nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU())


def token_model() -> nn.Module:
    """Scores [n, tokens, 7] for the next of 16 tokens."""
    return nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 7))


def token_loss(output: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of outputs [n, tokens, vocabulary]."""
    return functional.cross_entropy(output.flatten(0, 1), target.flatten())


BATCHABLE: dict[str, Callable[[], nn.Module]] = {
    "mlp": mlp,
    "convolutional": convolutional,
    "batch norm": batch_norm,
    "layer norm": layer_norm,
    "embedding": embedding,
    "tied, frozen, idle, replaced": Tied,
    "attention": Attention,
    "float64": wide,
}
UNBATCHABLE: dict[str, Callable[[], nn.Module]] = {"branching": branching, "recurrent": Recurrent}


def make_problem(model: Callable[[], nn.Module], **changes: Any) -> Problem:
    """A problem of 3 classes and 16 features, tokens where the model embeds them, with a partial last batch."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(70, 16, generator=generator)
    labels = (inputs[:, 0] > 0).long() + (inputs[:, 1] > 0).long()
    if model is embedding:
        inputs = inputs.abs().mul(2).long().clamp_max(6)
    given: dict[str, Any] = {
        "model": model,
        "loss": functional.nll_loss if model is layer_norm else functional.cross_entropy,
        "train": (inputs[:42], labels[:42]),
        "valid": (inputs[42:], labels[42:]),
        "metric": "accuracy",
        "batch": 16,
        "epochs": 4,
    }
    return Problem(**{**given, **changes})


class Descent:
    """Plain gradient descent, each lane with its own learning rate."""

    def __init__(self, rates: Sequence[float]) -> None:
        self.rates = torch.tensor(rates)
        self.steps: list[int] = []

    def __call__(self, parameters: list[Tensor], gradients: list[Tensor], step: int) -> None:
        self.steps.append(step)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter -= self.rates.to(parameter.dtype).view(-1, *[1] * (parameter.ndim - 1)) * gradient

    def evaluated(self, parameters: list[Tensor]) -> AbstractContextManager[None]:
        return nullcontext()

    def keep(self, mask: Any) -> None:
        self.rates = self.rates[torch.from_numpy(mask)]


def first_batch(lanes: Lanes) -> Tensor:
    return lanes.batches().at(0)


def plain_training(problem: Problem, seed: int, rate: float) -> tuple[nn.Module, NDArray[np.float64]]:
    """Train one module as anybody would; return it with train loss, validation loss and accuracy [3, epochs]."""
    module = problem.build(seed)
    optimizer = torch.optim.SGD(module.parameters(), lr=rate)
    batches = Batches(len(problem.train), problem.batch, [seed])
    curves = np.zeros((3, problem.epochs))
    for epoch in range(problem.epochs):
        total = 0.0
        for step in range(problem.steps_per_epoch):
            rows = batches.at(epoch * problem.steps_per_epoch + step)[0]
            optimizer.zero_grad()
            loss = problem.training_loss(module, problem.train.inputs[rows], problem.train.targets[rows])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += float(loss.detach()) * len(rows)
        module.eval()
        with torch.no_grad():
            output = module(problem.valid.inputs)
            valid_loss = float(problem.evaluation_loss(module, problem.valid.inputs, problem.valid.targets))
            accuracy = float((output.argmax(1) == problem.valid.targets).double().mean())
        curves[:, epoch] = total / len(problem.train), valid_loss, accuracy
        module.train()
    return module, curves
