"""Lanes that take turns, each an ordinary module: for models that can't be batched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from fallline.training.counter_random import Calls
from fallline.training.evaluation import Score
from fallline.training.lane_masks import LaneMasks
from fallline.training.lanes import Lanes, Pass
from fallline.training.modules import Slot, slots
from fallline.training.problem import Problem
from fallline.training.randomness import seeded
from fallline.training.splits import Split

_AS_IT_IS = nullcontext()


class SequentialLanes(Lanes):
    """Lanes of one module each, whose tensors are rows of the population's.

    The numbers agree with `BatchedLanes` to rounding, dropout included. Whatever else a model draws from torch's
    generator follows from a lane's seed and the step as well.

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

    def _lanes_at_once(self, examples: int) -> int:
        return 1

    @staticmethod
    def _at(lane: slice) -> int:
        return int(lane.start)

    @staticmethod
    def _joined(rows: tuple[Tensor, ...]) -> Tensor:
        return torch.stack(rows)

    def _pass(self, indices: Tensor, lanes: slice, keys: Tensor) -> Pass:
        lane = self._at(lanes)
        batch = self._own_batch(indices, lanes)
        trained, rest = self._slots[lane]
        others = seeded(int(keys[lane]), self.device) if self._draws else _AS_IT_IS
        with others, LaneMasks(keys[lane], Calls()) if self._masks else _AS_IT_IS:
            loss = self.problem.training_loss(self._modules[lane], batch.inputs, batch.targets)
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
    try:
        return function(module)
    finally:
        module.train()


def _store(slot: Slot, row: Tensor) -> None:
    """Take over a buffer that the module replaced; one that it changed in place is there already."""
    value = slot.get()
    if value is not slot.tensor:
        row.copy_(value.detach())
        slot.put(slot.tensor)
