"""Lanes that share every operation: one batched pass forward and backward for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap

from fallline.training.lanes import Lanes, Score
from fallline.training.memory import BUDGET, keep_freed_memory, parts
from fallline.training.modules import slots
from fallline.training.problem import Problem
from fallline.training.short_rows import ShortRows


class BatchedLanes(Lanes):
    """Lanes of one module whose tensors carry a lane dimension through every operation (`torch.func.vmap`).

    Lanes are independent, so the gradient of the sum of their losses holds each lane's own gradient: the forward pass
    is mapped and ordinary autograd goes back. Raises what torch raises where an operation can't be mapped, such as a
    branch on a tensor's value.

    >>> from fallline.problems import digits
    >>> lanes = BatchedLanes(digits(), seeds=[0, 0, 1])
    >>> losses, gradients = lanes.gradients(torch.tensor([[5, 6], [7, 8]]))
    >>> losses.shape, gradients[0].shape, lanes.names[0]
    (torch.Size([3]), torch.Size([3, 32, 64]), '0.weight')
    """

    def __init__(self, problem: Problem, seeds: Sequence[int]) -> None:
        super().__init__(problem, seeds)
        keep_freed_memory()
        self._module = problem.build(self.streams[0])
        self._trained, self._rest = slots(self._module)
        self._shared_loss = self._mapped(self._lane_loss, None, None)
        self._own_loss = self._mapped(self._lane_loss, 0, 0)
        self._forward = self._mapped(self._lane_output, None)
        self._rebind()

    def gradients(self, indices: Tensor) -> tuple[Tensor, list[Tensor]]:  # noqa: D102
        size = BUDGET // (indices.shape[1] * self._footprint.kept)
        passes = [self._gradients(indices, lanes) for lanes in parts(len(self), size)]
        if len(passes) == 1:
            return passes[0]
        losses, gradients = zip(*passes, strict=True)
        return torch.cat(losses), [torch.cat(pieces) for pieces in zip(*gradients, strict=True)]

    def _gradients(self, indices: Tensor, lanes: slice) -> tuple[Tensor, list[Tensor]]:
        inputs, targets = self._batch(indices, lanes)
        leaves = [leaf[lanes] for leaf in self._leaves]
        buffers = [buffer[lanes] for buffer in self.buffers]
        with ShortRows():
            losses, *after = (self._shared_loss if self._shared else self._own_loss)(inputs, targets, *leaves, *buffers)
        _store(buffers, after)
        gradients = torch.autograd.grad(losses, leaves, torch.ones_like(losses), materialize_grads=True)
        return losses.detach(), [gradient.contiguous() for gradient in gradients]

    def _outputs(self, lanes: slice, inputs: Tensor) -> Tensor:
        self._module.eval()
        with ShortRows():
            outputs: Tensor = self._forward(inputs, *(tensor[lanes] for tensor in (*self.parameters, *self.buffers)))
        self._module.train()
        return outputs

    def _each(self, score: Score, outputs: Tensor, targets: Tensor) -> Tensor:
        with ShortRows():
            scores: Tensor = vmap(score, in_dims=(0, None), randomness="different")(outputs, targets)
        return scores

    def _rebind(self) -> None:
        self._leaves = [parameter.detach().requires_grad_() for parameter in self.parameters]

    def _mapped(self, function: Callable[..., Any], *data: int | None) -> Callable[..., Any]:
        """Map a function of data and all tensors over the lanes; data of dimension None are the same for all."""
        tensors = [0] * (len(self.parameters) + len(self.buffers))
        return vmap(function, in_dims=(*data, *tensors), randomness="different")

    def _lane_loss(self, inputs: Tensor, targets: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        """One lane's loss, and its buffers afterwards."""
        try:
            return self.problem.loss(self._call(inputs, tensors), targets), *(slot.get() for slot in self._rest)
        finally:
            self._restore()

    def _lane_output(self, inputs: Tensor, *tensors: Tensor) -> Tensor:
        try:
            return self._call(inputs, tensors)
        finally:
            self._restore()

    def _call(self, inputs: Tensor, tensors: Sequence[Tensor]) -> Tensor:
        for slot, tensor in zip((*self._trained, *self._rest), tensors, strict=True):
            slot.put(tensor)
        output: Tensor = self._module(inputs)
        return output

    def _restore(self) -> None:
        for slot in (*self._trained, *self._rest):
            slot.put(slot.tensor)


def _store(buffers: list[Tensor], after: Sequence[Tensor]) -> None:
    """Take over buffers that the module replaced; those that it changed in place are there already."""
    for buffer, value in zip(buffers, after, strict=True):
        if value.data_ptr() != buffer.data_ptr():
            buffer.copy_(value.detach())
