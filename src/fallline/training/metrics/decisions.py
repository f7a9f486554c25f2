"""Outputs and targets read as decisions: between classes, or of yes and no."""

from __future__ import annotations

import torch
from torch import Tensor

from fallline.training.errors import ProblemError, dtype_name

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
        f"{dtype_name(target)}; {remedy}."
    )
