"""Mistakes that train without an error: each has a warning that says what to do, and what is right has none."""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from fallline.training import Problem

functional = nn.functional
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(60, 4, generator=GENERATOR)
LABELS = torch.randint(0, 3, (60,), generator=GENERATOR)
YES = (X[:, :1] > 0).float()


def ending(*layers: nn.Module, outputs: int = 3) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Linear(4, outputs), *layers)


class Squeezed(nn.Module):
    """Ends in a reshaped sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.layer(x)).squeeze(1)[:, None].view(-1, 1)


class Pixels(nn.Module):
    """Classes of pixels, in dimension 1, as probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.layer(x.view(-1, 1, 2, 2))
        return scores.softmax(1)


def told(**given: Any) -> list[str]:
    """The warnings of a problem."""
    half = {"train": (given.pop("X", X)[:30], given["y"][:30]), "valid": (X[30:], given.pop("y")[30:])}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        problem = Problem(**{**half, **given})
        made = [str(one.message) for one in caught]
        problem.check()
    assert [str(one.message) for one in caught] == made * 2  # and again as it is checked
    return made


CROSS: Any = {"loss": functional.cross_entropy, "y": LABELS}
BINARY: Any = {"loss": functional.binary_cross_entropy_with_logits, "y": YES}
LOGARITHMS: Any = {"loss": functional.nll_loss, "y": LABELS}
SOFTMAX = "model: its last operation is a softmax, and cross_entropy takes the softmax itself"
SIGMOID = "model: its last operation is a sigmoid, and binary_cross_entropy_with_logits takes the sigmoid itself"
MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "softmax": ({**CROSS, "model": ending(nn.Softmax(1))}, SOFTMAX),
    "softmax, module": ({**CROSS, "model": ending(nn.Softmax(1)), "loss": nn.CrossEntropyLoss()}, SOFTMAX),
    "softmax, weights": (
        {**CROSS, "model": ending(nn.Softmax(1)), "loss": nn.CrossEntropyLoss(torch.tensor([1.0, 2.0, 1.0]))}, SOFTMAX,
    ),
    "softmax, partial": (
        {**CROSS, "model": ending(nn.Softmax(1)),
         "loss": functools.partial(functional.cross_entropy, label_smoothing=0.1)},
        SOFTMAX,
    ),
    "softmax, lambda": (
        {**CROSS, "model": ending(nn.Softmax(1)), "loss": lambda output, y: functional.cross_entropy(output, y)},
        SOFTMAX,
    ),
    "softmax of pixels": ({**CROSS, "model": Pixels, "y": torch.randint(0, 3, (60, 2, 2))}, SOFTMAX),
    "sigmoid before cross_entropy": ({**CROSS, "model": ending(nn.Sigmoid())}, "a sigmoid, and cross_entropy takes"),
    "relu before cross_entropy": ({**CROSS, "model": ending(nn.ReLU())}, "a relu, .* can't be negative"),
    "sigmoid": ({**BINARY, "model": ending(nn.Sigmoid(), outputs=1)}, SIGMOID),
    "sigmoid, reshaped": ({**BINARY, "model": Squeezed, "loss": nn.BCEWithLogitsLoss()}, SIGMOID),
    "sigmoid, lambda": (
        {**BINARY, "model": Squeezed,
         "loss": lambda output, y: functional.binary_cross_entropy_with_logits(output, y)},
        SIGMOID,
    ),
    "logits as logarithms": ({**LOGARITHMS, "model": ending()}, "model: nll_loss takes logarithms of probabilities"),
    "probabilities as logarithms": (
        {**LOGARITHMS, "model": ending(nn.Softmax(1)), "loss": nn.NLLLoss()},
        "model: nll_loss takes logarithms of probabilities, and its outputs are none",
    ),
    "one class": (
        {**CROSS, "model": ending(outputs=1), "y": torch.zeros(60, dtype=torch.int64)},
        "model: it has one output, and cross_entropy of one class is 0",
    ),
    "relu of numbers": (
        {"model": ending(nn.ReLU()), "loss": functional.mse_loss, "y": X[:, :3] - 5},
        "its last operation is a relu, which gives 0 to inf, and 100 % of the targets of train lie outside",
    ),
    "tanh of numbers": (
        {"model": ending(nn.Tanh()), "loss": functional.mse_loss, "y": X[:, :3] * 3}, "a tanh, which gives -1 to 1",
    ),
}  # fmt: skip
RIGHT: dict[str, dict[str, Any]] = {
    "logits": {**CROSS, "model": ending()},
    "log_softmax before cross_entropy": {**CROSS, "model": ending(nn.LogSoftmax(1))},
    "log_softmax": {**LOGARITHMS, "model": ending(nn.LogSoftmax(1))},
    "logit": {**BINARY, "model": ending(outputs=1)},
    "probability": {**BINARY, "model": ending(nn.Sigmoid(), outputs=1), "loss": functional.binary_cross_entropy},
    "numbers": {"model": ending(), "loss": functional.mse_loss, "y": X[:, :3]},
    "relu of what is not negative": {"model": ending(nn.ReLU()), "loss": functional.mse_loss, "y": X[:, :3].abs()},
    "probabilities by hand": {
        **CROSS, "model": ending(nn.Softmax(1)),
        "loss": lambda output, y: functional.nll_loss(output.log(), y),
    },
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_warned_of(name: str) -> None:
    given, sentence = MISTAKES[name]
    found = told(**given)
    assert len(found) == 1
    assert re.search(sentence, found[0])


@pytest.mark.parametrize("name", RIGHT)
def test_nothing_is_said_of_what_is_right(name: str) -> None:
    assert told(**RIGHT[name]) == []


def split(*rows: int | slice) -> tuple[Tensor, Tensor]:
    places = torch.cat([torch.arange(60)[row].reshape(-1) for row in rows])
    return X[places], LABELS[places]


DISTINCT = split(slice(30, 60))
SHARED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "the same": ({"train": split(slice(0, 30)), "valid": split(slice(0, 30))}, ["valid: it is train again, so"]),
    "the same as a Dataset": (
        {"train": TensorDataset(*split(slice(0, 30))), "valid": DataLoader(TensorDataset(*split(slice(0, 30))), 4)},
        ["valid: it is train again"],
    ),
    "reversed": (
        {"train": split(slice(0, 30)), "valid": tuple(half.flip(0) for half in split(slice(0, 30)))},
        ["valid: it is train again"],
    ),
    "test": (
        {"train": split(slice(0, 30)), "valid": DISTINCT, "test": split(slice(0, 30))}, ["test: it is train again"],
    ),
    "some": (
        {"train": split(slice(0, 30)), "valid": split(slice(27, 60))}, ["valid: 3 of its 33 examples are in train too"],
    ),
    "all of few": ({"train": split(slice(0, 30)), "valid": split(3, 7)}, ["valid: 2 of its 2 examples are"]),
    "test and valid": (
        {"train": split(slice(0, 20)), "valid": split(slice(20, 40)), "test": split(slice(30, 60))},
        ["test: 10 of its 30 examples are in valid too, .* used to choose"],
    ),
    "none": ({"train": split(slice(0, 30)), "valid": DISTINCT}, []),
    "other labels": ({"train": (X, LABELS), "valid": (X, (LABELS + 1) % 3)}, []),
    "what repeats anyway": (
        {"train": (X.sign().repeat(9, 1), (X[:, 0] > 0).long().repeat(9)), "valid": (X.sign(), (X[:, 0] > 0).long())},
        [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SHARED)
def test_examples_that_splits_share(name: str) -> None:
    given, sentences = SHARED[name]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Problem(model=ending(), loss=functional.cross_entropy, **given)
    found = [str(one.message) for one in caught]
    assert len(found) == len(sentences)
    assert all(map(re.search, sentences, found))
