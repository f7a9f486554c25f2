"""Labels that the loss ignores: no metric counts them, however the loss says so."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from sklearn import metrics as reference
from torch import Tensor, nn

import fallline as fl
from fallline.training import Problem, ProblemError, make_lanes
from fallline.training.evaluation import Evaluator

functional = nn.functional
CLASSES, N, LENGTH = 5, 24, 7
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randint(0, 9, (N, LENGTH), generator=GENERATOR)
Y = torch.randint(1, CLASSES, (N, LENGTH), generator=GENERATOR)
PADDED = torch.rand(N, LENGTH, generator=GENERATOR) < 0.5
PADDED[3] = True  # an example without any label that counts
PADDED[4] = False


class Tagger(nn.Module):
    """Scores [n, classes, tokens]."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(9, 4)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        scores: Tensor = self.head(self.embedding(tokens)).transpose(1, 2)
        return scores


class LogTagger(Tagger):
    def forward(self, tokens: Tensor) -> Tensor:
        return super().forward(tokens).log_softmax(1)


class Wrapped(nn.Module):
    """A module around a loss."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.inner = nn.CrossEntropyLoss(ignore_index=index)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        loss: Tensor = self.inner(output.transpose(1, 2).flatten(0, 1), target.flatten())
        return loss


def masked(index: int) -> Callable[[Tensor, Tensor], Tensor]:
    def loss(output: Tensor, target: Tensor) -> Tensor:
        each = functional.cross_entropy(output, target.clamp(0, CLASSES - 1), reduction="none")
        counted = target != index
        return (each * counted).sum() / counted.sum()

    return loss


LOSSES: dict[str, Callable[[int], Any]] = {
    "module": lambda index: nn.CrossEntropyLoss(ignore_index=index),
    "its method": lambda index: nn.CrossEntropyLoss(ignore_index=index).forward,
    "smoothed": lambda index: nn.CrossEntropyLoss(ignore_index=index, label_smoothing=0.1),
    "partial": lambda index: functools.partial(functional.cross_entropy, ignore_index=index),
    "partial of a module": lambda index: functools.partial(nn.CrossEntropyLoss(ignore_index=index)),
    "lambda": lambda index: lambda output, y: functional.cross_entropy(output, y, ignore_index=index),
    "flattened": lambda index: (
        lambda output, y: functional.cross_entropy(
            output.transpose(1, 2).reshape(-1, CLASSES), y.reshape(-1), ignore_index=index
        )
    ),
    "within a module": Wrapped,
    "masked by hand": masked,
    "hinge": lambda index: (
        lambda output, y: functional.multi_margin_loss(output.transpose(1, 2)[y != index], y[y != index])
    ),
}
METRICS: dict[str, Callable[[Tensor, Tensor], float]] = {
    "accuracy": lambda scores, y: reference.accuracy_score(y, scores.argmax(1)),
    "top_2_accuracy": lambda scores, y: float((scores.topk(2).indices == y[:, None]).any(1).double().mean()),
    "f1_macro": lambda scores, y: reference.f1_score(y, scores.argmax(1), average="macro", zero_division=0.0),
    "balanced_accuracy": lambda scores, y: reference.balanced_accuracy_score(y, scores.argmax(1)),
    "cohen_kappa": lambda scores, y: reference.cohen_kappa_score(y, scores.argmax(1)),
    "log_loss": lambda scores, y: float(functional.cross_entropy(scores.double(), y)),
    "perplexity": lambda scores, y: float(functional.cross_entropy(scores.double(), y).exp()),
    "brier_score": lambda scores, y: float(
        (scores.double().softmax(1) - functional.one_hot(y, CLASSES)).square().sum(1).mean()
    ),
}


def problem(index: int, loss: Any, **changes: Any) -> Problem:
    data = X, Y.masked_fill(PADDED, index)
    given: dict[str, Any] = {"model": Tagger, "loss": loss, "train": data, "valid": data, "test": data}
    with warnings.catch_warnings(action="ignore"):
        return Problem(**{**given, "epochs": 2, "batch": 8, **changes})


def expected(given: Problem, metric: str, counted: Tensor) -> float:
    scores = given.build(0).eval()(X).transpose(1, 2)[counted].detach()
    with warnings.catch_warnings(action="ignore"):  # of classes that are never a truth
        return METRICS[metric](scores, Y[counted])


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("index", [0, -1, 255, -100])
def test_whatever_says_which_labels_are_ignored(name: str, index: int) -> None:
    given = problem(index, LOSSES[name](index), metric="accuracy")
    assert Evaluator(given.build(0), given, 0)(given.valid, 0)[1] == pytest.approx(expected(given, "accuracy", ~PADDED))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", ["module", "lambda"])
@pytest.mark.parametrize("batched", [True, False])
def test_every_metric_in_a_race(metric: str, name: str, batched: bool) -> None:
    given = problem(0, LOSSES[name](0), metric=metric)
    found = make_lanes(given, [0, 1, 2, 3], batched=batched).evaluate(given.valid, examples=True)
    assert float(found.metric[0]) == pytest.approx(expected(given, metric, ~PADDED))
    if found.example_metric is not None:  # each example weighs as many tokens as it has
        assert float(found.example_metric[0].mean()) == pytest.approx(float(found.metric[0]))
        assert float(found.example_metric[0, 3]) == 0
    assert found.example_loss is None


def test_nll() -> None:
    for loss in (nn.NLLLoss(ignore_index=0), functools.partial(functional.nll_loss, ignore_index=0)):
        given = problem(0, loss, metric="accuracy", model=LogTagger)
        assert Evaluator(given.build(0), given, 0)(given.valid, 0)[1] == pytest.approx(
            expected(given, "accuracy", ~PADDED)
        )


def test_the_loss_within_a_step() -> None:
    def step(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(model(inputs), targets, ignore_index=0)

    given = problem(0, None, step=step, metric="accuracy")
    assert Evaluator(given.build(0), given, 0)(given.valid, 0)[1] == pytest.approx(expected(given, "accuracy", ~PADDED))


@pytest.mark.parametrize(
    "loss",
    [
        functional.cross_entropy,
        lambda output, y: functional.cross_entropy(output, y),
        nn.CrossEntropyLoss(ignore_index=77),
        lambda output, y: functional.multi_margin_loss(output.transpose(1, 2).flatten(0, 1), y.flatten()),
    ],
)
def test_labels_that_count(loss: Any) -> None:
    given = problem(0, loss, metric="accuracy")
    scores = given.build(0).eval()(X).transpose(1, 2).flatten(0, 1)
    truth = float((scores.argmax(1) == given.valid.targets.flatten()).double().mean())
    assert Evaluator(given.build(0), given, 0)(given.valid, 0)[1] == pytest.approx(truth)


@pytest.mark.parametrize("index", [-1, 2])
def test_examples_without_a_label(index: int) -> None:
    data = torch.randn(30, 3, generator=GENERATOR), (torch.arange(30) % 2).float()
    data[1][::3] = index

    def loss(output: Tensor, target: Tensor) -> Tensor:
        counted = target != index
        each = functional.binary_cross_entropy_with_logits(
            output.squeeze(1), target.clamp(0, 1), reduction="none"
        )  # fmt: skip
        return (each * counted).sum() / counted.sum()

    for name in ("accuracy", "f1", "roc_auc"):
        given = problem(0, loss, model=lambda: nn.Linear(3, 1), train=data, valid=data, test=data, metric=name)
        counted = data[1] != index
        scores, labels = given.build(0)(data[0])[counted].squeeze(1).detach(), data[1][counted]
        truth = {
            "accuracy": reference.accuracy_score(labels, scores > 0),
            "f1": reference.f1_score(labels, scores > 0, zero_division=0.0),
            "roc_auc": reference.roc_auc_score(labels, scores),
        }[name]
        assert Evaluator(given.build(0), given, 0)(given.valid, 0)[1] == pytest.approx(truth)


def test_a_metric_of_ones_own_that_counts_them_is_warned_of() -> None:
    def token_accuracy(output: Tensor, target: Tensor) -> Tensor:
        return (output.argmax(1) == target).double().mean()

    def without_padding_accuracy(output: Tensor, target: Tensor) -> Tensor:
        return (output.argmax(1) == target)[target != 0].double().mean()

    torchmetrics = pytest.importorskip("torchmetrics")
    counting = torchmetrics.Accuracy("multiclass", num_classes=CLASSES)
    not_counting = torchmetrics.Accuracy("multiclass", num_classes=CLASSES, ignore_index=0)
    data = X, Y.masked_fill(PADDED, 0)
    other = X.flip(0), data[1].flip(1)
    for metric, warned in (
        (token_accuracy, True), (without_padding_accuracy, False), (counting, True), (not_counting, False),
    ):  # fmt: skip
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            Problem(model=Tagger, loss=nn.CrossEntropyLoss(ignore_index=0), train=data, valid=other, metric=metric)
        told = [str(one.message) for one in caught if "metric" in str(one.message)]
        assert bool(told) == warned
        assert all("counts examples with label 0, which the loss ignores" in one for one in told)


def test_the_sentence_for_labels_out_of_range_leaves_them_out() -> None:
    labels = Y.masked_fill(PADDED, -1)
    labels[5, 5] = 17
    with pytest.raises(ProblemError, match="its labels run from 1 to 17, but the model has 5 outputs"):
        problem(0, nn.CrossEntropyLoss(ignore_index=-1), train=(X, labels)).check()


def test_fit_prints_the_accuracy_of_tokens_that_count() -> None:
    given = problem(0, nn.CrossEntropyLoss(ignore_index=0), metric="accuracy")
    assert fl.fit(given, "sgd").curves[0].metric == pytest.approx(expected(given, "accuracy", ~PADDED))
