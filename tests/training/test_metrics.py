"""Metrics against scikit-learn and SciPy, for outputs of every shape."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as reference
import torch
from scipy import stats
from torch import Tensor, nn

from fallline.training import Metric, ProblemError
from fallline.training.metrics import METRICS, as_metric, value_of
from fallline.training.metrics.names import find

functional = nn.functional
GENERATOR = torch.Generator().manual_seed(0)


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=GENERATOR, dtype=torch.float64)


SCORES = normal(60, 5)
LABELS = torch.arange(60) % 5
CHANCES = SCORES.softmax(1).numpy()
DECIDED, TRUE = SCORES.argmax(1).numpy(), LABELS.numpy()
ONE_HOT = np.eye(5)[TRUE]

LOGITS = normal(60, 1)
YES = (torch.arange(60) % 2)[:, None]
CHANCE = LOGITS.sigmoid()[:, 0].numpy()
DECIDED_YES, TRUE_YES = (LOGITS[:, 0] > 0).numpy(), YES[:, 0].numpy()

SEVERAL = normal(60, 3)
TAGS = (normal(60, 3) > 0).float()

OF_CLASSES: dict[str, float] = {
    "accuracy": reference.accuracy_score(TRUE, DECIDED),
    "balanced_accuracy": reference.balanced_accuracy_score(TRUE, DECIDED),
    "top_1_accuracy": reference.accuracy_score(TRUE, DECIDED),
    "top_3_accuracy": reference.top_k_accuracy_score(TRUE, CHANCES, k=3),
    "f1": reference.f1_score(TRUE, DECIDED, average="macro"),
    "f1_macro": reference.f1_score(TRUE, DECIDED, average="macro"),
    "f1_micro": reference.f1_score(TRUE, DECIDED, average="micro"),
    "f1_weighted": reference.f1_score(TRUE, DECIDED, average="weighted"),
    "precision": reference.precision_score(TRUE, DECIDED, average="macro"),
    "recall_weighted": reference.recall_score(TRUE, DECIDED, average="weighted"),
    "jaccard": reference.jaccard_score(TRUE, DECIDED, average="macro"),
    "matthews_corrcoef": reference.matthews_corrcoef(TRUE, DECIDED),
    "cohen_kappa": reference.cohen_kappa_score(TRUE, DECIDED),
    "roc_auc": reference.roc_auc_score(TRUE, CHANCES, multi_class="ovr"),
    "average_precision": reference.average_precision_score(ONE_HOT, CHANCES),
    "log_loss": reference.log_loss(TRUE, CHANCES),
    "brier_score": float(((CHANCES - ONE_HOT) ** 2).sum(1).mean()),
    "perplexity": math.exp(reference.log_loss(TRUE, CHANCES)),
}
OF_YES: dict[str, float] = {
    "accuracy": reference.accuracy_score(TRUE_YES, DECIDED_YES),
    "balanced_accuracy": reference.balanced_accuracy_score(TRUE_YES, DECIDED_YES),
    "f1": reference.f1_score(TRUE_YES, DECIDED_YES),
    "f1_macro": reference.f1_score(TRUE_YES, DECIDED_YES, average="macro"),
    "precision": reference.precision_score(TRUE_YES, DECIDED_YES),
    "recall": reference.recall_score(TRUE_YES, DECIDED_YES),
    "jaccard": reference.jaccard_score(TRUE_YES, DECIDED_YES),
    "matthews_corrcoef": reference.matthews_corrcoef(TRUE_YES, DECIDED_YES),
    "cohen_kappa": reference.cohen_kappa_score(TRUE_YES, DECIDED_YES),
    "roc_auc": reference.roc_auc_score(TRUE_YES, CHANCE),
    "average_precision": reference.average_precision_score(TRUE_YES, CHANCE),
    "log_loss": reference.log_loss(TRUE_YES, CHANCE),
    "brier_score": reference.brier_score_loss(TRUE_YES, CHANCE),
    "perplexity": math.exp(reference.log_loss(TRUE_YES, CHANCE)),
}
OF_SEVERAL: dict[str, float] = {
    "accuracy": float(((SEVERAL > 0) == TAGS).double().mean()),
    "f1": reference.f1_score(TAGS, SEVERAL > 0, average="macro"),
    "f1_micro": reference.f1_score(TAGS, SEVERAL > 0, average="micro"),
    "roc_auc": reference.roc_auc_score(TAGS, SEVERAL),
    "average_precision": reference.average_precision_score(TAGS, SEVERAL),
}
NUMBERS, FOUND = normal(60, 2), normal(60, 2)
OF_NUMBERS: dict[str, float] = {
    "mean_squared_error": reference.mean_squared_error(NUMBERS, FOUND),
    "root_mean_squared_error": reference.root_mean_squared_error(NUMBERS, FOUND),
    "mean_absolute_error": reference.mean_absolute_error(NUMBERS, FOUND),
    "median_absolute_error": reference.median_absolute_error(NUMBERS, FOUND),
    "mean_absolute_percentage_error": reference.mean_absolute_percentage_error(NUMBERS, FOUND),
    "r2": reference.r2_score(NUMBERS, FOUND),
    "explained_variance": reference.explained_variance_score(NUMBERS, FOUND),
}
OF_ONE_NUMBER: dict[str, float] = {
    "max_error": reference.max_error(NUMBERS[:, 0], FOUND[:, 0]),
    "pearson": stats.pearsonr(NUMBERS[:, 0], FOUND[:, 0]).statistic,
    "spearman": stats.spearmanr(NUMBERS[:, 0], FOUND[:, 0]).statistic,
}


def case(table: dict[str, float], output: Tensor, target: Tensor, loss: Any = None) -> list[Any]:
    return [(name, output, target, loss, expected) for name, expected in table.items()]


PADDED = torch.cat([LABELS, torch.full((20,), -100)])
CASES: dict[str, list[Any]] = {
    "logits": case(OF_CLASSES, SCORES, LABELS),
    "log-probabilities": case(OF_CLASSES, SCORES.log_softmax(1), LABELS),
    "probabilities": case(OF_CLASSES, SCORES.softmax(1), LABELS),
    "tokens": case(OF_CLASSES, SCORES.view(6, 10, 5), LABELS.view(6, 10)),
    "classes in dimension 1": case(OF_CLASSES, SCORES.view(6, 10, 5).movedim(2, 1), LABELS.view(6, 10)),
    "pixels": case(OF_CLASSES, SCORES.view(5, 3, 4, 5).movedim(3, 1), LABELS.view(5, 3, 4)),
    "ignored tokens": case(OF_CLASSES, torch.cat([SCORES, normal(20, 5)]).view(8, 10, 5), PADDED.view(8, 10)),
    "one logit": case(OF_YES, LOGITS, YES.double()),
    "one logit, labels in one dimension": case(OF_YES, LOGITS, YES[:, 0]),
    "no dimension for the logit": case(OF_YES, LOGITS[:, 0], YES[:, 0].bool()),
    "one probability": case(OF_YES, LOGITS.sigmoid(), YES.double(), nn.BCELoss()),
    "two classes": case(OF_YES, torch.cat([torch.zeros_like(LOGITS), LOGITS], 1), YES[:, 0]),
    "masks": case(OF_YES, LOGITS.view(5, 1, 4, 3), YES.view(5, 1, 4, 3).float()),
    "several labels": case(OF_SEVERAL, SEVERAL, TAGS),
    "numbers": case(OF_NUMBERS, FOUND, NUMBERS),
    "one number": case(OF_ONE_NUMBER, FOUND[:, :1], NUMBERS[:, :1]),
    "one number, no dimension": case(OF_ONE_NUMBER, FOUND[:, 0], NUMBERS[:, 0]),
}
TABLE = [pytest.param(*row, id=f"{kind}: {row[0]}") for kind, rows in CASES.items() for row in rows]


@pytest.mark.parametrize(("name", "output", "target", "loss", "expected"), TABLE)
def test_against_scikit_learn(name: str, output: Tensor, target: Tensor, loss: Any, expected: float) -> None:
    metric = as_metric(name, loss)
    value = value_of(metric, output, target)
    assert float(value) == pytest.approx(expected, rel=1e-9)
    lowest, highest = metric.bounds
    assert lowest <= value <= highest
    if metric.contributions is not None:
        share = metric.contributions(output, target)
        assert share.shape == (len(target),)
        assert float(share.mean()) == pytest.approx(expected, rel=1e-9)
        mapped = torch.func.vmap(metric.contributions, in_dims=(0, None))(torch.stack([output, 2 * output]), target)
        torch.testing.assert_close(mapped[0], share)


def test_every_metric_is_in_the_tables() -> None:
    tested = {name for rows in CASES.values() for name, *_ in rows}
    families = {name.partition("_")[0] for name in tested}
    assert {name for name in METRICS if name not in tested} <= {
        f"{family}_{average}" for family in families for average in ("macro", "micro", "weighted")
    }


@pytest.mark.parametrize("name", [name for name in METRICS if name != "accuracy"])
def test_a_lane_that_diverged_has_no_quality(name: str) -> None:
    target = NUMBERS[:, 0] if name in OF_NUMBERS | OF_ONE_NUMBER else YES[:, 0]
    assert math.isnan(value_of(METRICS[name], torch.full((60,), math.nan), target))


@pytest.mark.parametrize(
    ("metric", "higher"),
    [
        ("accuracy", True),
        ("top_5_accuracy", True),
        ("log_loss", False),
        ("brier_score", False),
        ("perplexity", False),
        ("max_error", False),
        ("r2", True),
        ("spearman", True),
        ("matthews_corrcoef", True),
    ],
)
def test_directions(metric: str, higher: bool) -> None:
    assert find(metric).higher_is_better is higher


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("MSE", "mean_squared_error"),
        ("rmse", "root_mean_squared_error"),
        ("mae", "mean_absolute_error"),
        ("R2Score", "r2"),
        ("r2-score", "r2"),
        ("accuracy_score", "accuracy"),
        ("Accuracy", "accuracy"),
        ("top-5 accuracy", "top_5_accuracy"),
        ("f1_score", "f1"),
        ("F1Score", "f1"),
        ("AUROC", "roc_auc"),
        ("roc_auc_ovr", "roc_auc"),
        ("MatthewsCorrCoef", "matthews_corrcoef"),
        ("cross_entropy", "log_loss"),
        ("JaccardIndex", "jaccard"),
    ],
)
def test_other_names(typed: str, name: str) -> None:
    assert find(typed).name == name


class Share:
    """As torchmetrics' objects are: an average over all calls since the last reset, or no number."""

    higher_is_better = True
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    def __init__(self) -> None:
        self.hits: list[float] = []

    def __eq__(self, other: object) -> Any:  # as torchmetrics' do, which makes it true of anything
        return Share()

    __hash__ = object.__hash__

    def __call__(self, output: Tensor, target: Tensor) -> float:
        self.hits += (output.argmax(1) == target).tolist()
        return sum(self.hits) / len(self.hits)

    def reset(self) -> None:
        self.hits = []


def test_an_object_that_collects_is_reset() -> None:
    metric = as_metric(Share(), functional.cross_entropy)
    assert (metric.name, metric.higher_is_better, metric.bounds) == ("Share", True, (0.0, 1.0))
    assert float(value_of(metric, SCORES[:30], LABELS[:30])) == reference.accuracy_score(TRUE[:30], DECIDED[:30])
    assert float(value_of(metric, SCORES, LABELS)) == reference.accuracy_score(TRUE, DECIDED)


def test_objects_of_torchmetrics() -> None:
    torchmetrics = pytest.importorskip("torchmetrics")
    metric = as_metric(torchmetrics.Accuracy(task="multiclass", num_classes=5), functional.cross_entropy)
    assert (metric.name, metric.higher_is_better, metric.bounds) == ("MulticlassAccuracy", True, (0.0, 1.0))
    for count in (30, 60):
        value = float(value_of(metric, SCORES[:count], LABELS[:count]))
        assert value == pytest.approx(reference.accuracy_score(TRUE[:count], DECIDED[:count]))


SQUARE = torch.zeros(4, 3, 3)
REFUSED: dict[str, tuple[str, Callable[[], tuple[Tensor, Tensor]], str]] = {
    "tokens as many as classes": (
        "accuracy",
        lambda: (SQUARE, SQUARE[:, 0].long()),
        r"finds 3 classes in dimension 1 and as many in the last of an output of shape \(4, 3, 3\); give",
    ),
    "one-hot": ("f1", lambda: (SCORES, torch.tensor(ONE_HOT)), "one-hot rows are no labels; give y.argmax"),
    "numbers": ("accuracy", lambda: (FOUND, NUMBERS), "needs integer labels and one output a class, .* give integer"),
    "labels of -1": ("f1", lambda: (LOGITS, 2 * YES - 1), "or 0 and 1 where the output is one logit an example"),
    "no class for yes": ("top_2_accuracy", lambda: (LOGITS, YES), "needs more than 2 classes, and there are 2"),
    "shapes": ("r2", lambda: (FOUND[:, :1], NUMBERS[:, 0]), r"has shape \(60, 1\) and the targets \(60,\), which must"),
    "ranks of columns": ("spearman", lambda: (FOUND, NUMBERS), "takes one number an example, and there are more"),
}


@pytest.mark.parametrize(("name", "data", "sentence"), REFUSED.values(), ids=REFUSED)
def test_refused(name: str, data: Callable[[], tuple[Tensor, Tensor]], sentence: str) -> None:
    with pytest.raises(ProblemError, match=sentence):
        value_of(find(name), *data())


def test_equal_outputs_have_no_correlation() -> None:
    assert float(value_of(find("spearman"), torch.zeros(60), NUMBERS[:, 0])) == 0.0


def test_a_metric_of_ones_own_stays_as_it_is() -> None:
    own = Metric("own", lambda output, target: 0.5, higher_is_better=True)
    assert as_metric(own, functional.cross_entropy) is own
