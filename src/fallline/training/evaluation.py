"""The quality of lanes on a split of the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Score = Callable[[Tensor, Tensor], Tensor]
Each = Callable[[Score, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Evaluation:
    """The quality of K lanes on n examples, in float64, on the CPU.

    `loss` and `metric` are [K]. `example_loss` and `example_metric` are [K, n], each example's share, whose mean they
    are; None where there is no such share, or where it was not asked for.
    """

    loss: Tensor
    metric: Tensor
    example_loss: Tensor | None = None
    example_metric: Tensor | None = None


def join_evaluations(parts: list[Evaluation]) -> Evaluation:
    """The evaluation of all lanes, from those of some each.

    >>> join_evaluations([Evaluation(torch.zeros(2), torch.ones(2)), Evaluation(torch.zeros(1), torch.ones(1))]).metric
    tensor([1., 1., 1.])
    """
    return Evaluation(
        torch.cat([part.loss for part in parts]),
        torch.cat([part.metric for part in parts]),
        _joined([part.example_loss for part in parts]),
        _joined([part.example_metric for part in parts]),
    )


def _joined(shares: list[Tensor | None]) -> Tensor | None:
    present = [share for share in shares if share is not None]
    return torch.cat(present) if len(present) == len(shares) else None


def example_losses(each: Each, loss: Score, outputs: Tensor, targets: Tensor, whole: Tensor) -> Tensor | None:
    """The loss of each example alone [K, n]; None where the loss of the `whole` [K] is not their mean.

    `each` applies a score to every lane's outputs [K, n, ...] and the same targets [n, ...].
    """
    alone = torch.func.vmap(lambda output, target: loss(output[None], target[None]))
    try:
        share = each(alone, outputs, targets).cpu().double()
    except (RuntimeError, ValueError, IndexError, TypeError):
        return None
    tolerance = 1e3 * torch.finfo(outputs.dtype).eps
    return share if torch.allclose(share.mean(1), whole, rtol=tolerance, atol=tolerance, equal_nan=True) else None
