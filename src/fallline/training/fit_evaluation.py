"""The loss and the metric of one model on a split."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from fallline.training.memory import BUDGET, footprint, parts
from fallline.training.metrics import value_of
from fallline.training.splits import Split

if TYPE_CHECKING:
    from fallline.training.problem import Problem


@torch.no_grad()
def evaluate(model: nn.Module, problem: Problem, split: Split) -> tuple[float, float]:
    """The problem's loss and metric of the whole split, in evaluation mode; the model is left in training mode.

    >>> from fallline.problems import digits
    >>> problem = digits()
    >>> loss, accuracy = evaluate(problem.build(0), problem, problem.valid)
    >>> 2.2 < loss < 2.5, 0 <= accuracy <= 1
    (True, True)
    """
    model.eval()
    output = outputs_of(model, split) if needs_outputs(problem) else None
    loss = float(loss_of(problem, model, split, output))
    model.train()
    if output is None or problem.metric_is_loss:
        return loss, loss
    return loss, float(value_of(problem.metric, output, split.targets.to(output.device)))


def needs_outputs(problem: Problem) -> bool:
    """Whether an evaluation takes the model's outputs, as all do but for the loss of a step."""
    return problem.loss is not None or not problem.metric_is_loss


def outputs_of(model: nn.Module, split: Split) -> Tensor:
    """The outputs [n, ...] for all examples, in parts that bound the memory, where the model is."""
    device = next(model.parameters()).device
    training = model.training
    size = BUDGET // max(1, footprint(model, split.inputs[:2].to(device, copy=True)).kept)
    model.train(training)
    # A copy of the inputs, since a model may write into them.
    return torch.cat([model(split.inputs[rows].to(device, copy=True)) for rows in parts(len(split), size)])


def loss_of(problem: Problem, model: nn.Module, split: Split, output: Tensor | None) -> Tensor:
    """The loss of all examples, from their outputs, or by the step where the problem has no loss."""
    device = next(model.parameters()).device
    targets = split.targets.to(device)
    if problem.loss is not None and output is not None:
        return problem.loss(output, targets)
    return problem.evaluation_loss(model, split.inputs.to(device, copy=True), targets)
