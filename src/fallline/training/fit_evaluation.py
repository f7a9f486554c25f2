"""The loss and the metric of one model on a split."""

from __future__ import annotations

import torch
from torch import nn

from fallline.training.memory import BUDGET, footprint, parts
from fallline.training.metrics import value_of
from fallline.training.problem import Problem
from fallline.training.splits import Split


@torch.no_grad()
def evaluate(model: nn.Module, problem: Problem, split: Split) -> tuple[float, float]:
    """The problem's loss and metric of the whole split, in evaluation mode, in parts that bound the memory.

    >>> from fallline.problems import digits
    >>> problem = digits()
    >>> loss, accuracy = evaluate(problem.build(0), problem, problem.valid)
    >>> 2.2 < loss < 2.5, 0 <= accuracy <= 1
    (True, True)
    """
    device = next(model.parameters()).device
    size = BUDGET // max(1, footprint(model, split.inputs[:2].to(device, copy=True)).kept)
    model.eval()
    # A copy of the inputs, since a model may write into them.
    output = torch.cat([model(split.inputs[rows].to(device, copy=True)) for rows in parts(len(split), size)])
    model.train()
    targets = split.targets.to(device)
    loss = float(problem.loss(output, targets))
    metric = problem.metric
    return loss, loss if metric.function is problem.loss else float(value_of(metric, output, targets))
