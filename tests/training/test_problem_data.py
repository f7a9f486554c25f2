"""Problems on what people train: models of every kind crossed with data of every form."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
)

import fallline as fl
from fallline.training import Problem, ProblemError, datasets
from tests.training import models

functional = nn.functional
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(42, 16, generator=GENERATOR)
LABELS = torch.arange(42) % 3
TOKENS = torch.randint(0, 7, (42, 16), generator=GENERATOR)


class Own(Dataset[Any]):
    """Examples (x, y) as NumPy arrays and Python numbers, as people write them."""

    def __init__(self, X: Tensor, y: Tensor) -> None:
        self.X, self.y = X.numpy(), y

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, index: int) -> Any:
        label = self.y[index]
        return self.X[index], label.item() if label.ndim == 0 else label


class OneByOne(IterableDataset[Any]):
    def __init__(self, X: Tensor, y: Tensor) -> None:
        self.X, self.y = X, y

    def __iter__(self) -> Iterator[Any]:
        return zip(self.X, self.y, strict=True)


def one_logit() -> nn.Module:
    return nn.Linear(16, 1)


CLASSES: dict[str, Any] = {"loss": functional.cross_entropy, "metric": "f1_macro", "X": X, "y": LABELS}
NUMBERS: dict[str, Any] = {"loss": functional.mse_loss, "metric": "r2", "X": X, "y": X[:, :3] * 2}
KINDS: dict[str, dict[str, Any]] = {
    "mlp": {"model": models.mlp, **CLASSES},
    "convolutional": {"model": models.convolutional, **CLASSES},
    "batch norm": {"model": models.batch_norm, **CLASSES},
    "dropout": {"model": models.dropout, **CLASSES},
    "attention": {"model": models.Attention, **CLASSES},
    "recurrent": {"model": models.Recurrent, **CLASSES},
    "tied": {"model": models.Tied, **CLASSES},
    "pretrained": {"model": models.pretrained, **CLASSES},
    "float64": {"model": models.wide, **CLASSES},
    "whole numbers": {"model": models.embedding, **CLASSES, "X": TOKENS},
    "regression": {"model": models.mlp, **NUMBERS},
    "one logit": {
        "model": one_logit,
        "loss": functional.binary_cross_entropy_with_logits,
        "metric": "roc_auc",
        "X": X,
        "y": (X[:, :1] > 0).float(),
    },
    "tokens": {
        "model": models.token_model,
        "loss": models.token_loss,
        "metric": "accuracy",
        "X": TOKENS,
        "y": TOKENS.roll(-1, 1),
    },
}
FORMS: dict[str, Callable[[Tensor, Tensor], object]] = {
    "tensors": lambda X, y: (X, y),
    "arrays": lambda X, y: [X.numpy(), y.numpy()],
    "TensorDataset": TensorDataset,
    "Subset": lambda X, y: Subset(TensorDataset(torch.cat([X[:1], X]), torch.cat([y[:1], y])), range(1, 1 + len(X))),
    "own Dataset": Own,
    "loader": lambda X, y: DataLoader(Own(X, y), batch_size=10),
    "loader that shuffles": lambda X, y: DataLoader(Own(X, y), batch_size=10, shuffle=True, drop_last=True),
    "loader of some": lambda X, y: DataLoader(
        TensorDataset(torch.cat([X, X]), torch.cat([y, y])), 10, sampler=SubsetRandomSampler(range(len(X), 2 * len(X)))
    ),
    "loader that collates": lambda X, y: DataLoader(Own(X, y), 10, collate_fn=lambda items: default_collate(items)),
    "loader of batches": lambda X, y: DataLoader(Own(X, y), batch_sampler=[[*range(30)], [*range(30, len(X))]]),
    "loader of a stream": lambda X, y: DataLoader(OneByOne(X, y), batch_size=10),
}
STREAMS: dict[str, Callable[[Tensor, Tensor], object]] = {
    "examples": OneByOne,
    "generator function": lambda X, y: lambda: batches(X, y),
    "generator": lambda X, y: batches(X, y),
    "list": lambda X, y: list(batches(X, y)),
    "loader": lambda X, y: DataLoader(OneByOne(X, y), batch_size=10),
}


def batches(X: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(torch.split(X, 10), torch.split(y, 10), strict=True)


def problem(kind: dict[str, Any], form: Callable[[Tensor, Tensor], object], **changes: Any) -> Problem:
    given = {name: kind[name] for name in ("model", "loss", "metric")}
    data = kind["X"], kind["y"]
    return Problem(**{**given, "train": form(*data), "valid": data, "test": FORMS["loader"](*data), **changes})


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_model_on_every_form_of_data(kind: dict[str, Any], form: Callable[[Tensor, Tensor], object]) -> None:
    given = problem(kind, form)
    for split in given.splits().values():
        for found, expected in ((split.inputs, kind["X"]), (split.targets, kind["y"])):
            torch.testing.assert_close(found, expected, rtol=0, atol=0, check_dtype=False)
    given.check()


@pytest.mark.parametrize("form", STREAMS.values(), ids=STREAMS)
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_model_on_every_stream(kind: dict[str, Any], form: Callable[[Tensor, Tensor], object]) -> None:
    size = 10 if form is OneByOne else None
    given = problem(kind, form, steps=3, batch=size)
    assert (len(given.train), given.batch, given.steps, given.epochs, given.shuffle) == (30, 10, 3, 1, False)
    torch.testing.assert_close(given.train.inputs, kind["X"][:30], rtol=0, atol=0, check_dtype=False)
    torch.testing.assert_close(given.train.targets, kind["y"][:30], rtol=0, atol=0, check_dtype=False)
    given.check()
    assert "batch 10, 3 steps, metric" in repr(given)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_model_is_fitted(kind: dict[str, Any]) -> None:
    before, after = fl.fit(problem(kind, FORMS["loader"]), "adam", lr=0.01, epochs=3).curves[::3]
    assert before.validation_loss is not None
    assert after.validation_loss is not None
    assert after.validation_loss < before.validation_loss
    assert math.isfinite(after.metric or math.nan)


@pytest.mark.parametrize(
    ("train", "changes", "batch"),
    [
        ((X, LABELS), {}, 42),
        ((torch.cat([X, X]), LABELS.repeat(2)), {}, 64),
        ((X, LABELS), {"batch": 7}, 7),
        (DataLoader(Own(X, LABELS), batch_size=12), {}, 12),
        (DataLoader(Own(X, LABELS), batch_size=12), {"batch": 5}, 5),
        (DataLoader(Own(X, LABELS), batch_size=100), {}, 42),
        (
            DataLoader(Own(X, LABELS), batch_size=None, collate_fn=lambda item: [np.array([part]) for part in item]),
            {},
            1,
        ),
        (OneByOne(torch.cat([X, X]), LABELS.repeat(2)), {"steps": 1}, 64),
        (OneByOne(X, LABELS), {"steps": 1}, 42),
    ],
    ids=["few", "64", "said", "loader", "said for a loader", "wide loader", "loader of ones", "stream", "short stream"],
)
def test_the_batch(train: object, changes: dict[str, Any], batch: int) -> None:
    assert problem(KINDS["mlp"], lambda X, y: train, **changes).batch == batch


def test_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    given = problem(KINDS["mlp"], lambda X, y: (pandas.DataFrame(X.numpy()), pandas.Series(y.numpy())))
    torch.testing.assert_close(given.train.inputs, X, rtol=0, atol=0)
    assert torch.equal(given.train.targets, LABELS)


def test_random_examples_are_the_same_for_every_problem_and_differ_between_splits() -> None:
    class Noisy(Own):
        def __getitem__(self, index: int) -> Any:
            return torch.randn(16), int(self.y[index])

    weighted = DataLoader(Own(X, LABELS), 4, sampler=WeightedRandomSampler([1.0] * 42, 60))
    with pytest.warns(UserWarning, match="examples (differ|are drawn anew)"):
        first, again = (problem(KINDS["mlp"], Noisy, valid=Noisy(X, LABELS), test=weighted) for _ in range(2))
    for name, split in first.splits().items():
        assert torch.equal(split.inputs, again.splits()[name].inputs)
    assert not torch.equal(first.train.inputs, first.valid.inputs)
    assert len(first.splits()["test"]) == 60


def test_a_stream_is_met_in_its_order() -> None:
    seen = []

    def step(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        if model.training:
            seen.append(inputs.clone())
        return functional.cross_entropy(model(inputs), targets)

    given = problem(KINDS["mlp"], STREAMS["generator function"], steps=5, step=step)
    for seed in (0, 1):
        fl.fit(given, "sgd", seed=seed)
    assert torch.equal(torch.cat(seen), torch.cat([X, X]))
    assert [len(batch) for batch in seen[:5]] == [10, 10, 10, 10, 2]


def test_a_generator_may_fill_the_same_array_anew() -> None:
    def refilled() -> Iterator[tuple[Any, Any]]:
        inputs = np.empty((2, 16))
        for number in range(3):
            inputs.fill(number)
            yield inputs, np.zeros(2, dtype=int)

    given = problem(KINDS["mlp"], lambda X, y: refilled, steps=3)
    assert given.train.inputs[:, 0].tolist() == [0, 0, 1, 1, 2, 2]


def stream_of(*sizes: int) -> Callable[[], Iterator[tuple[Tensor, Tensor]]]:
    def generate() -> Iterator[tuple[Tensor, Tensor]]:
        for size in sizes:
            yield X[:size], LABELS[:size]

    return generate


REFUSED: dict[str, tuple[object, dict[str, Any], str]] = {
    "no steps": (stream_of(4), {}, "train: got function, a stream; say with steps= how many batches a run takes"),
    "no steps, generator": (stream_of(4)(), {}, "train: got generator, a stream; say with steps="),
    "no steps, dataset": (OneByOne(X, LABELS), {}, "train: got OneByOne, a stream; say with steps="),
    "too few": (stream_of(4, 4), {"steps": 3}, "ended after 2 batches, but steps is 3; give fewer steps or a longer"),
    "too few examples": (
        OneByOne(X, LABELS),
        {"steps": 4, "batch": 16},
        "the stream ended after 3 batches of 16 examples, but steps is 4",
    ),
    "none": (stream_of(), {"steps": 1}, "the stream ended after 0 batches, but steps is 1"),
    "sizes": (
        stream_of(4, 3, 4),
        {"steps": 3},
        "batch 1 of the stream has 4 examples and batch 2 has 3; give them one",
    ),
    "last longer": (stream_of(4, 5), {"steps": 2}, "batch 1 of the stream has 4 examples and batch 2 has 5"),
    "its own batch": (
        stream_of(4),
        {"steps": 1, "batch": 4},
        "batch: a stream of batches has its own; leave batch out",
    ),
    "epochs": (stream_of(4), {"steps": 1, "epochs": 2}, "epochs: a stream is gone through once, in steps"),
    "steps of none": (stream_of(4), {"steps": 0}, "steps: must be a whole number from 1; got 0"),
    "a pair": ((X, LABELS), {"steps": 3}, "steps: it counts the batches of a stream, but train is of type tuple"),
    "an array": (X.numpy(), {"steps": 3}, "steps: it counts the batches of a stream, but train is of type ndarray"),
    "a Dataset": (Own(X, LABELS), {"steps": 3}, "but train is of type Own; leave steps out and say epochs"),
    "a function of one": (lambda size: None, {"steps": 3}, "train: the function needs size, but is called without"),
    "a function of no stream": (lambda: 3, {"steps": 3}, "but train is of type int; leave steps out"),
    "no pairs": (lambda: iter([X, X]), {"steps": 1}, r"train: its batches must be pairs \(x, y\); wrap it"),
    "shapes": (
        lambda: iter([(X, LABELS), (X[:, :3], LABELS)]),
        {"steps": 2},
        "train: the x of its batches can't become one tensor",
    ),
}


@pytest.mark.parametrize(("train", "changes", "sentence"), REFUSED.values(), ids=REFUSED)
def test_streams_that_are_refused(train: object, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ProblemError, match=sentence):
        problem(KINDS["mlp"], lambda X, y: train, **changes)


def test_what_has_no_end_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "MOST_BYTES", 10**4)
    endless = DataLoader(OneByOne(X.repeat(10, 1), LABELS.repeat(10)), batch_size=10)
    with pytest.raises(ProblemError, match=r"valid: it has given .* and may have no end; for training say with steps="):
        problem(KINDS["mlp"], FORMS["tensors"], valid=endless)
