"""The metrics that are known by name, and what else they are called."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection
from dataclasses import replace
from functools import cache

from torch import Tensor

from fallline.training.errors import ProblemError
from fallline.training.metrics import of_classes
from fallline.training.metrics.decisions import IGNORED
from fallline.training.metrics.metric import Metric
from fallline.training.metrics.of_numbers import (
    MEAN_ABSOLUTE_ERROR,
    MEAN_ABSOLUTE_PERCENTAGE_ERROR,
    MEAN_SQUARED_ERROR,
)
from fallline.training.metrics.scikit_learn import of_labels, of_numbers, of_ranks, of_scores

_AVERAGES = {"": None, "_macro": "macro", "_micro": "micro", "_weighted": "weighted"}
_BY_LABELS = {"f1": "f1_score", "precision": "precision_score", "recall": "recall_score", "jaccard": "jaccard_score"}
_ANY = (-math.inf, math.inf)

_OF_DECISIONS = (
    of_classes.ACCURACY,
    of_labels("balanced_accuracy", "balanced_accuracy_score"),
    *(
        of_labels(f"{name}{suffix}", function, average=average, zero_division=0.0)
        for name, function in _BY_LABELS.items()
        for suffix, average in _AVERAGES.items()
    ),
    of_labels("matthews_corrcoef", "matthews_corrcoef", lowest=-1.0),
    of_labels("cohen_kappa", "cohen_kappa_score", lowest=-1.0),
    of_scores("roc_auc", "roc_auc_score"),
    of_scores("average_precision", "average_precision_score"),
    of_classes.LOG_LOSS,
    of_classes.BRIER_SCORE,
    of_classes.PERPLEXITY,
)
_OF_NUMBERS = (
    MEAN_SQUARED_ERROR,
    of_numbers("root_mean_squared_error", "root_mean_squared_error", higher_is_better=False, bounds=(0.0, math.inf)),
    MEAN_ABSOLUTE_ERROR,
    of_numbers("median_absolute_error", "median_absolute_error", higher_is_better=False, bounds=(0.0, math.inf)),
    of_numbers("max_error", "max_error", higher_is_better=False, bounds=(0.0, math.inf)),
    MEAN_ABSOLUTE_PERCENTAGE_ERROR,
    of_numbers("r2", "r2_score", higher_is_better=True, bounds=(-math.inf, 1.0)),
    of_numbers("explained_variance", "explained_variance_score", higher_is_better=True, bounds=(-math.inf, 1.0)),
    of_ranks("pearson", "pearsonr"),
    of_ranks("spearman", "spearmanr"),
)
#: Every metric with a name, beside "loss" and top_k_accuracy with a number for k.
METRICS = {metric.name: metric for metric in (*_OF_DECISIONS, *_OF_NUMBERS)}

#: What scikit-learn, torchmetrics and people call them, without capitals, hyphens and underscores.
_CALLED = {
    "acc": "accuracy",
    "accuracyscore": "accuracy",
    "balancedaccuracyscore": "balanced_accuracy",
    "f1score": "f1",
    "precisionscore": "precision",
    "recallscore": "recall",
    "jaccardscore": "jaccard",
    "jaccardindex": "jaccard",
    "iou": "jaccard",
    "mcc": "matthews_corrcoef",
    "cohenkappascore": "cohen_kappa",
    "auc": "roc_auc",
    "auroc": "roc_auc",
    "rocaucscore": "roc_auc",
    "rocaucovr": "roc_auc",
    "averageprecisionscore": "average_precision",
    "crossentropy": "log_loss",
    "brier": "brier_score",
    "brierscoreloss": "brier_score",
    "mse": "mean_squared_error",
    "rmse": "root_mean_squared_error",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "maxerror": "max_error",
    "r2score": "r2",
    "explainedvariancescore": "explained_variance",
    "pearsonr": "pearson",
    "pearsoncorrcoef": "pearson",
    "spearmanr": "spearman",
    "spearmancorrcoef": "spearman",
} | {_plain: name for name in METRICS for _plain in [name.replace("_", "")]}


def find(typed: str) -> Metric:
    """The metric of a name, as any of the libraries writes it.

    Raises ProblemError with the nearest name, or with what to write instead.

    >>> find("MSE").name, find("F1Score").name, find("top-3-accuracy").name
    ('mean_squared_error', 'f1', 'top_3_accuracy')
    """
    plain = re.sub(r"[\s_-]", "", typed.lower())
    if plain in _CALLED:
        return METRICS[_CALLED[plain]]
    if top := re.fullmatch(r"top(\d+)accuracy(score)?", plain):
        return _top(int(top[1]))
    raise ProblemError(f"metric: {typed!r} is unknown; {_hint(plain)}")


def is_of_decisions(metric: Metric) -> bool:
    """Whether a metric of this file reads the output as logits or probabilities."""
    return metric in _OF_DECISIONS or metric.name.startswith("top_")


def of_probabilities(metric: Metric) -> Metric:
    """A metric of decisions for models whose one output for two classes is a probability, not a logit.

    >>> import torch
    >>> of_probabilities(find("accuracy")).function(torch.tensor([0.9, 0.2]), torch.tensor([1, 0])).item()
    1.0
    """
    function, contributions = metric.function, metric.contributions

    def on_logits(output: Tensor, target: Tensor) -> Tensor | float:
        return function(output.double().logit(eps=1e-12), target)

    def each_on_logits(output: Tensor, target: Tensor) -> Tensor:
        assert contributions is not None
        return contributions(output.double().logit(eps=1e-12), target)

    return replace(metric, function=on_logits, contributions=None if contributions is None else each_on_logits)


def ignoring(metric: Metric, labels: Collection[float]) -> Metric:
    """A metric of decisions that does not count those with these labels.

    >>> import torch
    >>> ignoring(find("accuracy"), [0]).function(torch.tensor([[0.0, 1.0], [0.0, 1.0]]), torch.tensor([1, 0])).item()
    1.0
    """
    function, contributions = metric.function, metric.contributions

    def marked(target: Tensor) -> Tensor:
        for label in labels:
            target = target.masked_fill(target == label, IGNORED)
        return target

    def on_counted(output: Tensor, target: Tensor) -> Tensor | float:
        return function(output, marked(target))

    def each_on_counted(output: Tensor, target: Tensor) -> Tensor:
        assert contributions is not None
        return contributions(output, marked(target))

    return replace(metric, function=on_counted, contributions=None if contributions is None else each_on_counted)


def nickname(function: str) -> str | None:
    """The name here of one of scikit-learn's functions, if there is one."""
    return _CALLED.get(function.replace("_", ""))


@cache
def _top(k: int) -> Metric:
    return of_classes.ACCURACY if k == 1 else of_classes.top_accuracy(k)


def _hint(plain: str) -> str:
    if plain.startswith("neg") and plain[3:] in _CALLED:
        return f"write {_CALLED[plain[3:]]!r}, for which lower is better here."
    if plain.startswith("topk"):
        return "write its number for k, such as 'top_5_accuracy'."
    plain = re.sub("^(binary|multiclass|multilabel)", "", plain)
    near = difflib.get_close_matches(plain, _CALLED, n=1)
    if near:
        return f"did you mean {_CALLED[near[0]]!r}?"
    return f"choose one of loss, {', '.join(METRICS)}, top_5_accuracy, or give a callable(output, target)."
