"""Lanes that take turns, each an ordinary module: for models that can't be batched."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from fallline.training.evaluation import Score
from fallline.training.lanes import Lanes
from fallline.training.modules import Slot, slots
from fallline.training.problem import Problem
from fallline.training.splits import Split


class SequentialLanes(Lanes):
    """Lanes of one module each, whose tensors are rows of the population's.

    The numbers agree with `BatchedLanes` to rounding, dropout's masks aside.

    >>> from fallline.problems import digits
    >>> lanes = SequentialLanes(digits(), seeds=[0, 1])
    >>> losses, gradients = lanes.gradients(torch.tensor([[5, 6], [7, 8]]))
    >>> losses.shape, gradients[0].shape
    (torch.Size([2]), torch.Size([2, 32, 64]))
    """

    def __init__(self, problem: Problem, seeds: Sequence[int]) -> None:
        super().__init__(problem, seeds)
        self._modules: list[nn.Module] = []
        self._slots: list[tuple[list[Slot], list[Slot]]] = []
        for seed in self.seeds:
            module = self._build(seed)
            trained, rest = slots(module)
            self._modules.append(module)
            self._slots.append((trained, self._stack.share(rest)[0]))
        self._original = self.index.tolist()
        self._rebind()

    def gradients(self, indices: Tensor) -> tuple[Tensor, list[Tensor]]:  # noqa: D102
        passes = [self._gradients(indices, lane) for lane in range(len(self))]
        losses, gradients = zip(*passes, strict=True)
        return torch.stack(losses), [torch.stack(row) for row in zip(*gradients, strict=True)]

    def _gradients(self, indices: Tensor, lane: int) -> tuple[Tensor, tuple[Tensor, ...]]:
        batch = self._batch(indices, slice(lane, lane + 1))
        if not self._same_batches:
            batch = Split(batch.inputs[0], batch.targets[0])
        loss = self.problem.training_loss(self._modules[lane], batch.inputs, batch.targets)
        trained, rest = self._slots[lane]
        gradients = torch.autograd.grad(loss, [slot.tensor for slot in trained], materialize_grads=True)
        for slot, buffer in zip(rest, self.buffers, strict=True):
            _store(slot, buffer[lane])
        return loss.detach(), gradients

    def _outputs(self, lanes: slice, inputs: Tensor) -> Tensor:
        return self._evaluated(lanes, lambda module: module(inputs.clone()))

    def _step_losses(self, lanes: slice, split: Split) -> Tensor:
        loss = self.problem.evaluation_loss
        return self._evaluated(lanes, lambda module: loss(module, split.inputs.clone(), split.targets))

    def _evaluated(self, lanes: slice, function: Callable[[nn.Module], Tensor]) -> Tensor:
        return torch.stack([_in_evaluation_mode(module, function) for module in self._modules[lanes]])

    def _each(self, score: Score, outputs: Tensor, targets: Tensor) -> Tensor:
        return torch.stack([score(output, targets) for output in outputs])

    def _rebind(self) -> None:
        left = [self._original.index(lane) for lane in self.index.tolist()]
        self._original = self.index.tolist()
        self._modules = [self._modules[place] for place in left]
        self._slots = [self._slots[place] for place in left]
        for lane, (trained, rest) in enumerate(self._slots):
            for slot, stacked in zip((*trained, *rest), (*self.parameters, *self.buffers), strict=True):
                slot.tensor.data = stacked[lane]


def _in_evaluation_mode(module: nn.Module, function: Callable[[nn.Module], Tensor]) -> Tensor:
    module.eval()
    result = function(module)
    module.train()
    return result


def _store(slot: Slot, row: Tensor) -> None:
    """Take over a buffer that the module replaced; one that it changed in place is there already."""
    value = slot.get()
    if value is not slot.tensor:
        row.copy_(value.detach())
        slot.put(slot.tensor)
