"""Metrics of decisions that are means over the examples."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from fallline.training.errors import ProblemError
from fallline.training.metrics.decisions import IGNORED, decisions, logits, probabilities
from fallline.training.metrics.metric import Metric, mean_of

#: Value of each decision [m], from scores and labels as `decisions` returns them.
Values = Callable[[Tensor, Tensor], Tensor]


def top_accuracy(k: int) -> Metric:
    """The share of decisions whose class is among the k with the highest scores.

    >>> metric = top_accuracy(2)
    >>> float(metric.function(torch.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]]), torch.tensor([1, 2])))
    0.5
    """
    name = f"top_{k}_accuracy"

    def among_first(scores: Tensor, labels: Tensor) -> Tensor:
        if scores.ndim == labels.ndim or scores.shape[1] <= k:
            classes = 2 if scores.ndim == labels.ndim else scores.shape[1]
            raise ProblemError(
                f"metric: {name!r} needs more than {k} classes, and there are {classes}; give 'accuracy'."
            )
        return (scores.topk(k, -1).indices == labels[:, None]).any(-1)

    return _mean_of_decisions(name, among_first, higher_is_better=True, highest=1.0)


def _hits(scores: Tensor, labels: Tensor) -> Tensor:
    return (scores.argmax(-1) if scores.ndim > labels.ndim else (scores > 0).long()) == labels


def _log_losses(scores: Tensor, labels: Tensor) -> Tensor:
    if scores.ndim > labels.ndim:
        return functional.cross_entropy(logits(scores), labels, reduction="none", ignore_index=IGNORED)
    return functional.binary_cross_entropy_with_logits(scores.double(), labels.double(), reduction="none")


def _squared_differences(scores: Tensor, labels: Tensor) -> Tensor:
    """Of probabilities and labels, summed over the classes; of two classes, the second alone."""
    if scores.ndim == labels.ndim:
        return (scores.double().sigmoid() - labels).square()
    chances = probabilities(scores)
    truth = functional.one_hot(labels.clamp_min(0), scores.shape[1])
    total = (chances - truth).square().sum(-1)
    return total / 2 if scores.shape[1] == 2 else total


def _mean_of_decisions(name: str, values: Values, *, higher_is_better: bool, highest: float) -> Metric:
    """The mean over all decisions that count, each example's share in proportion to how many of them it has."""

    def contributions(output: Tensor, target: Tensor) -> Tensor:
        scores, labels = decisions(name, output, target)
        counted = labels != IGNORED
        found = torch.where(counted, values(scores, labels).double(), 0.0).reshape(len(target), -1).sum(1)
        return found * (len(target) / counted.sum().double())

    return mean_of(name, contributions, higher_is_better=higher_is_better, highest=highest)


ACCURACY = _mean_of_decisions("accuracy", _hits, higher_is_better=True, highest=1.0)
LOG_LOSS = _mean_of_decisions("log_loss", _log_losses, higher_is_better=False, highest=math.inf)
BRIER_SCORE = _mean_of_decisions("brier_score", _squared_differences, higher_is_better=False, highest=2.0)


def _perplexity(output: Tensor, target: Tensor) -> Tensor:
    return torch.as_tensor(LOG_LOSS.function(output, target)).exp()


PERPLEXITY = Metric("perplexity", _perplexity, higher_is_better=False, bounds=(1.0, math.inf))
