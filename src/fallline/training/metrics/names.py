"""The metrics that are known by name, what else they are called, and those that scikit-learn and SciPy compute."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fallline._asked import nearest
from fallline.training.errors import ProblemError
from fallline.training.metrics.metric import (
    ACCURACY,
    BRIER_SCORE,
    IGNORED,
    LOG_LOSS,
    MEAN_ABSOLUTE_ERROR,
    MEAN_ABSOLUTE_PERCENTAGE_ERROR,
    MEAN_SQUARED_ERROR,
    PERPLEXITY,
    Metric,
    check_same_shape,
    decisions,
    probabilities,
    top_accuracy,
)


def of_labels(name: str, function: str, lowest: float = 0.0, **options: Any) -> Metric:
    """One of scikit-learn's functions of true and predicted labels, higher better and at most 1.

    `average=None` stands for "binary" where there are two classes, else "macro".

    >>> of_labels("f1", "f1_score", average=None).function(torch.tensor([2.0, -2.0]), torch.tensor([1, 0]))
    1.0
    """

    def compute(output: Tensor, target: Tensor) -> float:
        scores, labels = _counted(name, output, target)
        classes = scores.ndim > labels.ndim
        predicted = scores.argmax(-1) if classes else (scores > 0).long()
        two = scores.shape[1] == 2 if classes else labels.ndim == 1
        given = {**options, "average": "binary" if two else "macro"} if options.get("average", "") is None else options
        return _call(function, _array(labels), _array(predicted), **given)

    return Metric(name, _where_finite(compute), higher_is_better=True, bounds=(lowest, 1.0))


def of_scores(name: str, function: str) -> Metric:
    """One of scikit-learn's functions of labels and scores; of several classes, the mean of each against the rest.

    >>> of_scores("roc_auc", "roc_auc_score").function(torch.tensor([2.0, -2.0]), torch.tensor([1, 0]))
    1.0
    """

    def compute(output: Tensor, target: Tensor) -> float:
        scores, labels = _counted(name, output, target)
        if scores.ndim > labels.ndim:
            scores = probabilities(scores)
            if scores.shape[1] == 2:
                scores = scores[:, 1]
            else:
                labels = torch.nn.functional.one_hot(labels, scores.shape[1])
        _check_both(name, labels)
        return _call(function, _array(labels), _array(scores))

    return Metric(name, _where_finite(compute), higher_is_better=True, bounds=(0.0, 1.0))


def of_numbers(name: str, function: str, *, higher_is_better: bool, bounds: tuple[float, float]) -> Metric:
    """One of scikit-learn's functions of true and predicted numbers, the mean over the columns where there are several.

    >>> metric = of_numbers("r2", "r2_score", higher_is_better=True, bounds=(-math.inf, 1.0))
    >>> metric.function(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 2.0, 3.0]))
    1.0
    """

    def compute(output: Tensor, target: Tensor) -> float:
        check_same_shape(output, target)
        return _call(function, *(_array(values.reshape(len(values), -1).double()) for values in (target, output)))

    return Metric(name, _where_finite(compute), higher_is_better, bounds=bounds)


def of_ranks(name: str, function: str) -> Metric:
    """One of SciPy's correlations of one number an example.

    >>> of_ranks("spearman", "spearmanr").function(torch.tensor([1.0, 2.0, 9.0]), torch.tensor([1.0, 2.0, 3.0]))
    1.0
    """

    def compute(output: Tensor, target: Tensor) -> float:
        check_same_shape(output, target)
        if target.numel() != len(target):
            raise ProblemError(f"metric: {name!r} takes one number an example, and there are more; give 'r2'.")
        from scipy import stats

        with _quiet():
            found = float(getattr(stats, function)(*(_array(one.flatten().double()) for one in (output, target)))[0])
        return 0.0 if math.isnan(found) else found  # equal outputs, as a head that starts at zero gives, tell nothing

    return Metric(name, _where_finite(compute), higher_is_better=True, bounds=(-1.0, 1.0))


def _where_finite(compute: Callable[[Tensor, Tensor], float]) -> Callable[[Tensor, Tensor], float]:
    """A lane that diverged has no quality, where scikit-learn would raise."""

    def function(output: Tensor, target: Tensor) -> float:
        return compute(output, target) if output.isfinite().all() else math.nan

    return function


def _call(function: str, *arrays: NDArray[Any], **options: Any) -> float:
    from sklearn import metrics

    with _quiet():
        return float(getattr(metrics, function)(*arrays, **options))


def _quiet() -> warnings.catch_warnings[None]:
    """What warns of a lane's poor predictions in every evaluation tells nobody anything."""
    return warnings.catch_warnings(action="ignore")


def _counted(name: str, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Scores and labels of the decisions that count."""
    scores, labels = decisions(name, output, target)
    counted = labels != IGNORED
    if counted.all():
        return scores, labels
    if labels.ndim > 1:
        raise ProblemError(
            f"metric: {name!r} of several labels an example can't leave some of them out; give 'accuracy', or a "
            "callable(output, target) that does."
        )
    return scores[counted], labels[counted]


def _check_both(name: str, labels: Tensor) -> None:
    columns = labels.reshape(len(labels), -1)
    lacking = ((columns == columns[0]).all(0)).nonzero().flatten().tolist()
    if lacking:
        which = (
            "of both classes" if labels.ndim == 1 else f"with and without each label, and label {lacking[0]} lacks one"
        )
        raise ProblemError(f"metric: {name!r} needs examples {which}; give it a larger split, or another metric.")


def _array(values: Tensor) -> NDArray[Any]:
    return np.asarray(values.detach().cpu())


_AVERAGES = {"": None, "_macro": "macro", "_micro": "micro", "_weighted": "weighted"}
_BY_LABELS = {"f1": "f1_score", "precision": "precision_score", "recall": "recall_score", "jaccard": "jaccard_score"}

_OF_DECISIONS = (
    ACCURACY,
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
    LOG_LOSS,
    BRIER_SCORE,
    PERPLEXITY,
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
_NICKNAMES = {
    "accuracy": "acc accuracyscore",
    "balanced_accuracy": "balancedaccuracyscore",
    "f1": "f1score",
    "precision": "precisionscore",
    "recall": "recallscore",
    "jaccard": "jaccardscore jaccardindex iou",
    "matthews_corrcoef": "mcc",
    "cohen_kappa": "cohenkappascore",
    "roc_auc": "auc auroc rocaucscore rocaucovr",
    "average_precision": "averageprecisionscore",
    "log_loss": "crossentropy",
    "brier_score": "brier brierscoreloss",
    "mean_squared_error": "mse",
    "root_mean_squared_error": "rmse",
    "mean_absolute_error": "mae",
    "mean_absolute_percentage_error": "mape",
    "max_error": "maxerror",
    "r2": "r2score",
    "explained_variance": "explainedvariancescore",
    "pearson": "pearsonr pearsoncorrcoef",
    "spearman": "spearmanr spearmancorrcoef",
}
_CALLED = {nick: name for name, nicks in _NICKNAMES.items() for nick in nicks.split()} | {
    name.replace("_", ""): name for name in METRICS
}


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


def nickname(function: str) -> str | None:
    """The name here of one of scikit-learn's functions, if there is one."""
    return _CALLED.get(function.replace("_", ""))


@cache
def _top(k: int) -> Metric:
    return ACCURACY if k == 1 else top_accuracy(k)


def _hint(plain: str) -> str:
    if plain.startswith("neg") and plain[3:] in _CALLED:
        return f"write {_CALLED[plain[3:]]!r}, for which lower is better here."
    if plain.startswith("topk"):
        return "write its number for k, such as 'top_5_accuracy'."
    plain = re.sub("^(binary|multiclass|multilabel)", "", plain)
    near = nearest(plain, _CALLED)
    if near:
        return f"did you mean {_CALLED[near]!r}?"
    return f"choose one of loss, {', '.join(METRICS)}, top_5_accuracy, or give a callable(output, target)."
