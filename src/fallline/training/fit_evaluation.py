"""The loss and the metric of one model on a split."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from fallline.training.counter_random import evaluation_keys, run_keys
from fallline.training.drawing import drawing, replaceable
from fallline.training.memory import parts
from fallline.training.metrics import value_of
from fallline.training.randomness import preserved
from fallline.training.splits import Split
from fallline.training.traits import Manner, manner_of, spare

if TYPE_CHECKING:
    from fallline.training.problem import Problem


class Evaluator:
    """Evaluates one model, again and again; what it draws follows from the seed, the step and the split.

    >>> from fallline.problems import digits
    >>> problem = digits()
    >>> loss, accuracy = Evaluator(problem.build(0), problem, seed=0)(problem.valid, step=0)
    >>> 2.2 < loss < 2.5, 0 <= accuracy <= 1
    (True, True)
    """

    def __init__(self, model: nn.Module, problem: Problem, seed: int) -> None:
        self._model = model
        self._problem = problem
        self._device = next(model.parameters()).device
        self._keys = run_keys(torch.tensor([seed], dtype=torch.int64, device=self._device))
        self._replaced = replaceable(model)
        self._manner: Manner | None = None

    def __call__(self, split: Split, step: int) -> tuple[float, float]:
        """The problem's loss and metric of the whole split, in evaluation mode; the model is left in training mode."""
        problem = self._problem
        name = next((name for name, own in problem.splits().items() if own is split), "")
        keys = partial(evaluation_keys, self._keys, step, name)
        with preserved(self._device, libraries=True), torch.no_grad():
            manner = self._manner = self._manner or self._learnt(split)
            self._model.eval()
            try:
                output = self._outputs(split, manner, keys) if needs_outputs(problem) else None
                with self._drawing(keys(0)):
                    loss = float(loss_of(problem, self._model, split, output))
            finally:
                self._model.train()
            if output is None or problem.metric_is_loss:
                return loss, loss
            return loss, float(value_of(problem.metric, output, split.targets.to(output.device)))

    def _learnt(self, split: Split) -> Manner:
        model = spare(self._model, lambda: self._problem.build(0).to(self._device))
        return manner_of(model, self._problem.train.inputs[:2].to(self._device), self._device)

    def _outputs(self, split: Split, manner: Manner, keys: Callable[[int], Tensor]) -> Tensor:
        return outputs_of(self._model, split, manner, lambda first: self._drawing(keys(first)))

    def _drawing(self, keys: Tensor) -> AbstractContextManager[object]:
        return drawing(keys[0], self._device, libraries=True, replaced=self._replaced)


def needs_outputs(problem: Problem) -> bool:
    """Whether an evaluation takes the model's outputs, as all do but for the loss of a step."""
    return problem.loss is not None or not problem.metric_is_loss


def outputs_of(
    model: nn.Module,
    split: Split,
    manner: Manner,
    drawing: Callable[[int], AbstractContextManager[object]] | None = None,
) -> Tensor:
    """The outputs [n, ...] for all examples, in parts that bound the memory, where the model is.

    `drawing(first)` is entered for the part that begins with the example `first`.
    """
    device = next(model.parameters()).device
    found = []
    for rows in parts(len(split), manner.examples):
        with drawing(rows.start) if drawing else nullcontext(), torch.set_grad_enabled(manner.gradients):
            # A copy of the inputs, since a model may write into them.
            found.append(model(split.inputs[rows].to(device, copy=True)).detach())
    return torch.cat(found)


def loss_of(problem: Problem, model: nn.Module, split: Split, output: Tensor | None) -> Tensor:
    """The loss of all examples, from their outputs, or by the step where the problem has no loss."""
    device = next(model.parameters()).device
    targets = split.targets.to(device)
    if problem.loss is not None and output is not None:
        return problem.loss(output, targets)
    return problem.evaluation_loss(model, split.inputs.to(device, copy=True), targets)
