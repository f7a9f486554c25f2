"""What a metric is, how outputs are read as decisions or as numbers, and the metrics that are computed here."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from fallline._text import dtype_name
from fallline.training.errors import ProblemError, is_text

Function = Callable[[Tensor, Tensor], Tensor | float]


@dataclass(frozen=True)
class Metric:
    """A quality of outputs [n, ...] for targets [n, ...].

    Attributes:
        name: What it is called in tables.
        function: A function of (output, target) that returns one number.
        higher_is_better: Whether higher values are better.
        contributions: Where the metric is a mean over examples, a function of (output, target) that returns each
            example's share [n]; else None.
        bounds: The lowest and the highest value that it can take.

    Raises:
        ProblemError: The name is no text that files can take.

    >>> Metric("median_error", lambda output, target: (output - target).abs().median(), higher_is_better=False).name
    'median_error'
    """

    name: str
    function: Function
    higher_is_better: bool
    contributions: Callable[[Tensor, Tensor], Tensor] | None = None
    bounds: tuple[float, float] = (-math.inf, math.inf)

    def __post_init__(self) -> None:
        if not is_text(self.name):
            raise ProblemError(f"metric: its name must be a text without lone surrogates; got {self.name!r}.")


def mean_of(
    name: str, contributions: Callable[[Tensor, Tensor], Tensor], *, higher_is_better: bool, highest: float
) -> Metric:
    """A mean over examples of what lies between 0 and `highest`."""

    def function(output: Tensor, target: Tensor) -> Tensor:
        return contributions(output, target).mean()

    return Metric(name, function, higher_is_better, contributions, (0.0, highest))


def value_of(metric: Metric, output: Tensor, target: Tensor) -> Tensor:
    """Compute the metric of one lane's outputs [n, ...] as a float64 number.

    Raises ProblemError where a callable does not return one number.
    """
    found = metric.function(output, target)
    value = found.detach() if isinstance(found, Tensor) else torch.as_tensor(found, dtype=torch.float64)
    if value.numel() != 1:
        raise ProblemError(
            f"metric: {metric.name!r} returned {value.numel()} numbers of shape {tuple(value.shape)}; "
            "it must return one, for instance their mean."
        )
    return value.reshape(()).to(torch.float64)


def loss_of_step(output: Tensor, target: Tensor) -> Tensor:
    """Stand for the loss of a problem that has a step and no loss; lanes compute it from model and inputs.

    Args:
        output: The model's outputs, which don't tell it.
        target: The targets, which don't either.

    Raises:
        ProblemError: Always.
    """
    raise ProblemError("metric: the loss of a step can't be computed from outputs; give the problem a loss as well.")


#: The label of decisions that don't count, as in torch's cross_entropy; metrics are given it for every other.
IGNORED = -100


def class_dimensions(output: torch.Size, target: torch.Size) -> list[int]:
    """Where the classes can be in outputs, given labels of this shape: dimension 1, the last, or both.

    >>> class_dimensions(torch.Size([8, 5, 30]), torch.Size([8, 5]))  # tokens, then the vocabulary
    [2]
    >>> class_dimensions(torch.Size([8, 3, 9, 9]), torch.Size([8, 9, 9]))  # classes of pixels
    [1]
    """
    places = dict.fromkeys((1, len(output) - 1)) if len(output) > 1 else {}
    return [place for place in places if output[:place] + output[place + 1 :] == target]


def decisions(name: str, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Scores and labels of all decisions, tokens and pixels side by side.

    Classes give scores [m, classes] and labels [m]; yes or no gives logits [m] and labels [m] of 0 and 1; several
    labels an example give both [n, labels]. Labels may be `IGNORED`.

    Raises ProblemError where shapes and types of output [n, ...] and target [n, ...] tell no decisions.
    """
    places = class_dimensions(output.shape, target.shape)
    if len(places) > 1:
        raise ProblemError(
            f"metric: {name!r} finds {output.shape[1]} classes in dimension 1 and as many in the last of an output of "
            f"shape {tuple(output.shape)}; give fallline.Metric({name!r}, function, higher_is_better=...), whose "
            "function knows which."
        )
    if places and output.shape[places[0]] > 1 and not target.is_floating_point():
        return output.movedim(places[0], -1).flatten(0, -2), target.reshape(-1).long()
    if output.numel() == target.numel() and len(output) == len(target) and _is_binary(target):
        several = target.ndim == 2 and target.shape[1] > 1
        labels = target.to(torch.int64)
        if several and (labels.sum(1) == 1).all():
            raise _refusal(name, output, target, "one-hot rows are no labels; give y.argmax(1)")
        shape = target.shape if several else (-1,)
        return output.reshape(shape), labels.reshape(shape)
    raise _refusal(name, output, target, "give integer labels, or 0 and 1 where the output is one logit an example")


def _is_binary(target: Tensor) -> bool:
    return bool(((target == 0) | (target == 1) | (target == IGNORED)).all())


def probabilities(scores: Tensor) -> Tensor:
    """Probabilities, in float64, from scores [m, classes], which are logits or probabilities already.

    >>> probabilities(torch.tensor([[0.5, 0.5], [0.0, 0.0]])).tolist()
    [[0.5, 0.5], [0.5, 0.5]]
    """
    return logits(scores).softmax(-1)


def logits(scores: Tensor) -> Tensor:
    """Logits, in float64, from scores [m, classes]: rows that all sum to 1, with nothing below 0, are probabilities.

    It is told without a branch, for lanes that are batched.
    """
    scores = scores.double()
    known = (scores >= 0).all() & ((scores.sum(-1) - 1).abs() < 1e-4).all()
    return torch.where(known, scores.clamp_min(torch.finfo(torch.float64).tiny).log(), scores)


def _refusal(name: str, output: Tensor, target: Tensor, remedy: str) -> ProblemError:
    return ProblemError(
        f"metric: {name!r} needs integer labels and one output a class, [n, classes], or labels 0 and 1 and one logit "
        f"for each, but the output has shape {tuple(output.shape)} and the targets {tuple(target.shape)} of type "
        f"{dtype_name(target.dtype)}; {remedy}."
    )


def check_same_shape(output: Tensor, target: Tensor) -> None:
    """Raise ProblemError where output and target would be broadcast."""
    if output.shape != target.shape:
        raise ProblemError(
            f"metric: the output has shape {tuple(output.shape)} and the targets {tuple(target.shape)}, which must be "
            "equal for this metric; reshape one of them or give a callable(output, target)."
        )


def _mean_of_errors(name: str, error: Callable[[Tensor, Tensor], Tensor]) -> Metric:
    """The mean over examples of an error of each number."""

    def contributions(output: Tensor, target: Tensor) -> Tensor:
        check_same_shape(output, target)
        return error(output, target).reshape(len(output), -1).mean(1)

    return mean_of(name, contributions, higher_is_better=False, highest=math.inf)


def _relative_errors(output: Tensor, target: Tensor) -> Tensor:
    least = torch.finfo(torch.float64).eps  # as scikit-learn takes it
    return (output - target).double().abs() / target.double().abs().clamp_min(least)


MEAN_SQUARED_ERROR = _mean_of_errors("mean_squared_error", lambda output, target: (output - target).square())
MEAN_ABSOLUTE_ERROR = _mean_of_errors("mean_absolute_error", lambda output, target: (output - target).abs())
MEAN_ABSOLUTE_PERCENTAGE_ERROR = _mean_of_errors("mean_absolute_percentage_error", _relative_errors)

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
    return (scores.max(-1).indices if scores.ndim > labels.ndim else (scores > 0).long()) == labels


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


def of_probabilities(metric: Metric) -> Metric:
    """A metric of decisions for models whose one output for two classes is a probability, not a logit.

    >>> of_probabilities(ACCURACY).function(torch.tensor([0.9, 0.2]), torch.tensor([1, 0])).item()
    1.0
    """
    return _after(metric, lambda output, target: (output.double().logit(eps=1e-12), target))


def ignoring(metric: Metric, labels: Collection[float]) -> Metric:
    """A metric of decisions that does not count those with these labels.

    >>> ignoring(ACCURACY, [0]).function(torch.tensor([[0.0, 1.0], [0.0, 1.0]]), torch.tensor([1, 0])).item()
    1.0
    """

    def marked(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        for label in labels:
            target = target.masked_fill(target == label, IGNORED)
        return output, target

    return _after(metric, marked)


def _after(metric: Metric, change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Metric:
    """The metric of outputs and targets that are changed first."""
    function, contributions = metric.function, metric.contributions
    each = None if contributions is None else lambda output, target: contributions(*change(output, target))
    return replace(metric, function=lambda output, target: function(*change(output, target)), contributions=each)
