"""Lanes that share every operation: one batched pass forward and backward for all of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import count
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap

from fallline.training.errors import ProblemError
from fallline.training.evaluation import Score
from fallline.training.lane_masks import LaneMasks
from fallline.training.lane_operations import LaneOperations
from fallline.training.lanes import Lanes, Pass
from fallline.training.memory import keep_freed_memory
from fallline.training.modules import slots
from fallline.training.problem import Problem
from fallline.training.splits import Split


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
        # What torch has no rule for it takes lane by lane, which is slow but right.
        warnings.filterwarnings(
            "ignore", "There is a performance drop because we have not yet implemented the batching"
        )
        self._module = self._build(self.streams[0])
        self._trained, rest = slots(self._module)
        # What all lanes share stays in the module, and so carries no lane dimension.
        self._rest, self._constant = self._stack.share(rest)
        self._loss_of_same = self._mapped(self._lane_loss, None, None, 0)
        self._loss_of_own = self._mapped(self._lane_loss, 0, 0, 0)
        self._forward = self._mapped(self._lane_output, None)
        self._evaluated_loss = self._mapped(self._lane_step_loss, None, None)
        self._rebind()

    def _lanes_at_once(self, examples: int) -> int:
        return self._budget // (examples * self._footprint.kept)

    @staticmethod
    def _at(lane: slice) -> slice:
        return lane

    @staticmethod
    def _joined(rows: tuple[Tensor, ...]) -> Tensor:
        return torch.cat(rows) if len(rows) > 1 else rows[0].contiguous()

    def _pass(self, indices: Tensor, lanes: slice, keys: Tensor) -> Pass:
        batch = self._batch(indices, lanes)
        loss = self._loss_of_same if self._same_batches else self._loss_of_own
        leaves = [leaf[lanes] for leaf in self._leaves]
        buffers = [buffer[lanes] for buffer in self.buffers]
        before = [buffer.clone() for buffer in buffers]
        try:
            with LaneOperations():
                losses, *after = loss(batch.inputs, batch.targets, keys[lanes], *leaves, *buffers)
        except Exception:
            _store(buffers, before)  # the pass may have changed them before it failed
            raise
        _store(buffers, after)
        gradients = torch.autograd.grad(losses, leaves, torch.ones_like(losses), materialize_grads=True)
        return losses.detach(), gradients

    def _outputs(self, lanes: slice, inputs: Tensor) -> Tensor:
        return self._in_evaluation_mode(lanes, self._forward, inputs)

    def _step_losses(self, lanes: slice, split: Split) -> Tensor:
        return self._in_evaluation_mode(lanes, self._evaluated_loss, split.inputs.clone(), split.targets)

    def _in_evaluation_mode(self, lanes: slice, function: Callable[..., Tensor], *data: Tensor) -> Tensor:
        self._module.eval()
        try:
            with LaneOperations():
                return function(*data, *(tensor[lanes] for tensor in (*self.parameters, *self.buffers)))
        finally:
            self._module.train()

    def _each(self, score: Score, outputs: Tensor, targets: Tensor) -> Tensor:
        with LaneOperations():
            scores: Tensor = vmap(score, in_dims=(0, None), randomness="different")(outputs, targets)
        return scores

    def _rebind(self) -> None:
        self._leaves = [parameter.detach().requires_grad_() for parameter in self.parameters]

    def _mapped(self, function: Callable[..., Any], *data: int | None) -> Callable[..., Any]:
        """Map a function of data and all tensors over the lanes; data of dimension None are the same for all."""
        tensors = [0] * (len(self.parameters) + len(self.buffers))
        return vmap(function, in_dims=(*data, *tensors), randomness="different")

    def _lane_loss(self, inputs: Tensor, targets: Tensor, key: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        """One lane's loss, and its buffers afterwards."""
        with self._holding(tensors), LaneMasks(key, count()) if self._masks else nullcontext():
            loss = self.problem.training_loss(self._module, inputs, targets)
            self._check_constants()
            return loss, *(slot.get() for slot in self._rest)

    def _lane_output(self, inputs: Tensor, *tensors: Tensor) -> Tensor:
        with self._holding(tensors):
            output: Tensor = self._module(inputs)
            return output

    def _lane_step_loss(self, inputs: Tensor, targets: Tensor, *tensors: Tensor) -> Tensor:
        with self._holding(tensors):
            return self.problem.evaluation_loss(self._module, inputs, targets)

    @contextmanager
    def _holding(self, tensors: Sequence[Tensor]) -> Iterator[None]:
        """Let the module compute with one lane's tensors inside."""
        places = (*self._trained, *self._rest)
        try:
            for slot, tensor in zip(places, tensors, strict=True):
                slot.put(tensor)
            yield
        finally:
            for slot in places:
                slot.put(slot.tensor)

    def _check_constants(self) -> None:
        """Refuse a buffer that changes now but stayed as it was in the first pass: all lanes share it."""
        for slot in self._constant:
            if slot.get() is not slot.tensor:
                raise ProblemError(
                    f"model: it replaced {slot.name}, which its first pass in training mode left as it was; "
                    "let every pass replace it, or give it other values for every seed."
                )


def _store(buffers: list[Tensor], after: Sequence[Tensor]) -> None:
    """Take over buffers that the module replaced; those that it changed in place are there already."""
    for buffer, value in zip(buffers, after, strict=True):
        if value.data_ptr() != buffer.data_ptr():
            buffer.copy_(value.detach())
