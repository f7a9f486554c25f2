"""Lanes that take turns, each an ordinary module: for models that can't be batched."""

from __future__ import annotations

import copy
import itertools
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from fallline.training.drawing import drawing, replaceable
from fallline.training.errors import ProblemError
from fallline.training.evaluation import Score, evaluating
from fallline.training.lanes import Lanes, Pass
from fallline.training.modules import Slot, slots
from fallline.training.problem import Problem


class SequentialLanes(Lanes):
    """Lanes of one module each, that share nothing: only their parameters and buffers are rows of the population's.

    The numbers agree with `BatchedLanes` to rounding, whatever they draw. Whatever a module keeps beside its parameters
    and buffers is a lane's own as well.

    Args:
        problem: What is trained.
        seeds: One a lane.

    >>> from fallline.problems import digits
    >>> lanes = SequentialLanes(digits(), seeds=[0, 1])
    >>> losses, gradients = lanes.gradients(torch.tensor([[5, 6], [7, 8]]))
    >>> losses.shape, gradients[0].shape
    (torch.Size([2]), torch.Size([2, 32, 64]))
    """

    def __init__(self, problem: Problem, seeds: Sequence[int]) -> None:
        super().__init__(problem, seeds)
        self._modules = [self._build(seed) for seed in self.seeds]
        self._slots = [(trained, self._stack.part(rest)[0]) for trained, rest in map(slots, self._modules)]
        self._rows: list[tuple[list[Tensor], ...]] = []
        self._reached: list[bool] = []  # by the loss of the first pass
        self._told = False
        self._original = self.index.tolist()
        # What a pass changes may be the reason that a later one draws.
        self._replaced = (self._traits.replaced or self._traits.state is not None) and replaceable(self._modules[0])
        self._rebind()

    def module(self, lane: int) -> nn.Module:
        """A module of its own with all that a lane has now, on the CPU.

        Args:
            lane: Its place among those that are left.
        """
        try:
            return copy.deepcopy(self._modules[lane]).cpu()
        except Exception:  # it holds what can't be copied
            module = self._build(self.seeds[lane])
            for mine, own in zip(slots(module), slots(self._modules[lane]), strict=True):
                for slot, other in zip(mine, own, strict=False):
                    slot.tensor.data = other.tensor.detach().clone()
            return module.cpu()

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
        rows, buffers = self._rows[lane]
        with self._drawing(keys[lane]):
            loss = self.problem.training_loss(self._modules[lane], batch.inputs, batch.targets)
            _check_trained(trained)
            gradients = torch.autograd.grad(loss, [slot.tensor for slot in trained], allow_unused=True)
        self._compare_reached(gradients)
        for slot, row in zip(trained, rows, strict=True):
            _follow(slot, row)
        for slot, row in zip(rest, buffers, strict=True):
            _note(slot, row)
        return loss.detach(), [
            torch.zeros_like(row) if gradient is None else gradient.to_dense()
            for row, gradient in zip(rows, gradients, strict=True)
        ]

    def _compare_reached(self, gradients: Sequence[Tensor | None]) -> None:
        """Warn, once, of weights that the loss reaches in some passes only."""
        reached = [gradient is not None for gradient in gradients]
        self._reached = self._reached or reached
        if reached == self._reached or self._told:
            return
        self._told = True
        name = next(name for name, was, now in zip(self.names, self._reached, reached, strict=True) if was != now)
        warnings.warn(
            f"model: the loss reaches {name} in some steps only. In the others its gradient is zero here, so that "
            "momentum and decay move it on, while an optimizer of a plain loop, as fallline.fit's, lets it rest.",
            stacklevel=2,
        )

    def _evaluated(self, compute: Callable[..., Tensor], lanes: slice, keys: Tensor, *data: Tensor) -> Tensor:
        inputs, *others = data
        found = []
        for module, key in zip(self._modules[lanes], keys, strict=True):
            with self._drawing(key), evaluating(module, gradients=self._traits.manner.gradients):
                found.append(compute(module, inputs.clone(), *others).detach())
        return torch.stack(found)

    def _each(self, score: Score, outputs: Tensor, targets: Tensor, keys: Tensor) -> Tensor:
        found = []
        for output, key in zip(outputs, keys, strict=True):
            with self._drawing(key):
                found.append(score(output, targets))
        return torch.stack(found)

    def _drawing(self, key: Tensor) -> AbstractContextManager[object]:
        return drawing(key, self.device, libraries=self._draws_from_libraries, replaced=self._replaced)

    def _rebind(self) -> None:
        left = [self._original.index(lane) for lane in self.index.tolist()]
        self._original = self.index.tolist()
        self._modules = [self._modules[place] for place in left]
        self._slots = [self._slots[place] for place in left]
        self._rows = []
        for lane, own in enumerate(self._slots):
            rows = tuple([stacked[lane] for stacked in kind] for kind in (self.parameters, self.buffers))
            for slot, row in zip(itertools.chain(*own), itertools.chain(*rows), strict=True):
                slot.tensor.data = row
            self._rows.append(rows)


def _follow(slot: Slot, row: Tensor) -> None:
    """Take over the numbers of a parameter whose memory the module replaced, and bind it to its row again."""
    if slot.tensor.data_ptr() != row.data_ptr():
        row.copy_(slot.tensor.detach())
        slot.tensor.data = row


def _note(slot: Slot, row: Tensor) -> None:
    """Copy a buffer that the module replaced, where it fits; it stays the module's own."""
    value = slot.get()
    fits = (value.shape, value.dtype, value.layout) == (row.shape, row.dtype, row.layout)
    if fits and value.data_ptr() != row.data_ptr():
        row.copy_(value.detach())


def _check_trained(trained: list[Slot]) -> None:
    frozen = next((slot.name for slot in trained if not slot.tensor.requires_grad), None)
    if frozen is not None:
        raise ProblemError(
            f"model: it set requires_grad=False for {frozen} in training, and a race trains the same weights from "
            "beginning to end; let it detach what is to rest (`.detach()`), or train it by fallline.fit."
        )
