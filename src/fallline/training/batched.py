"""Lanes that share every operation: one batched pass forward and backward for all of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from itertools import count

import torch
from torch import Tensor
from torch.func import vmap

from fallline.training.drawing import LaneMasks
from fallline.training.errors import BatchingError
from fallline.training.evaluation import Score, evaluating
from fallline.training.lane_operations import LaneOperations
from fallline.training.lanes import Lanes, Pass
from fallline.training.memory import keep_freed_memory
from fallline.training.modules import differing, outer_state, python_state, slots
from fallline.training.problem import Problem
from fallline.training.stack import SharedTensors
from fallline.training.tape import Tapes

_Mapped = Callable[..., Sequence[Tensor]]


class BatchedLanes(Lanes):
    """Lanes of one module whose tensors carry a lane dimension through every operation (`torch.func.vmap`).

    Lanes are independent, so the gradient of the sum of their losses holds each lane's own gradient: the forward pass
    is mapped and ordinary autograd goes back. What all lanes share is watched, and stacked where a pass changes it.

    Args:
        problem: What is trained.
        seeds: One a lane.

    Raises:
        BatchingError: A model keeps what is no tensor of its own from pass to pass, or draws what can't be mapped.
            Where an operation can't be mapped, such as a branch on a tensor's value, torch raises what it raises.

    >>> from fallline.problems import digits
    >>> lanes = BatchedLanes(digits(), seeds=[0, 0, 1])
    >>> losses, gradients = lanes.gradients(torch.tensor([[5, 6], [7, 8]]))
    >>> losses.shape, gradients[0].shape, lanes.names[0]
    (torch.Size([3]), torch.Size([3, 32, 64]), '0.weight')
    """

    _fewest = 2  # one alone would be given another

    def __init__(self, problem: Problem, seeds: Sequence[int]) -> None:
        super().__init__(problem, seeds)
        self._check_traits()
        keep_freed_memory()
        # What torch has no rule for it takes lane by lane, which is slow but right.
        warnings.filterwarnings(
            "ignore", "There is a performance drop because we have not yet implemented the batching"
        )
        self._module = self._build(self.streams[0])
        self._trained, self._untrained = slots(self._module)
        self._state = python_state(self._module)
        self._shared = SharedTensors()
        self._operations = LaneOperations(self._shared.escaped)
        called = {type(part).forward: None for part in self._module.modules()}
        self._tapes = Tapes(partial(outer_state, problem.loss if problem.step is None else problem.step, *called))
        self._arrange()
        self._rebind()

    def check(self) -> None:
        """Raise BatchingError where lanes have come to share what each should have for itself."""
        if (changed := differing(self._state, python_state(self._module))) is not None:
            raise BatchingError(_keeps(changed))
        if (changed := self._tapes.changed()) is not None:
            raise BatchingError(f"what it computes with, '{changed}', changes outside the model in mid-training")

    def _check_traits(self) -> None:
        traits = self._traits
        if traits.state is not None:
            raise BatchingError(_keeps(traits.state))
        if traits.others or traits.libraries:
            source = "torch's generator" if traits.others else "Python's or NumPy's generator"
            raise BatchingError(f"the model draws from {source} in a way that can't be mapped")
        if traits.manner.gradients:
            raise BatchingError("the model differentiates by its inputs where it is evaluated")
        if self._stack.obstacle is not None:
            raise BatchingError(self._stack.obstacle)

    def _arrange(self) -> None:
        """Part what is stacked from what all lanes share, which stays in the module and has no lane dimension."""
        self._tapes.clear()
        self._rest, shared = self._stack.share(self._untrained)
        self._shared.hold(shared)
        training_loss = partial(self.problem.training_loss, self._module)
        self._loss_of_same = self._mapped(training_loss, None, None)
        self._loss_of_own = self._mapped(training_loss, 0, 0)

    def _lanes_at_once(self, examples: int) -> int:
        return max(self._fewest, self._budget // (examples * self._traits.kept))

    @staticmethod
    def _at(lane: slice) -> slice:
        return lane

    @staticmethod
    def _joined(rows: tuple[Tensor, ...]) -> Tensor:
        return torch.cat(rows) if len(rows) > 1 else rows[0].contiguous()

    def _pass(self, indices: Tensor, lanes: slice, keys: Tensor) -> Pass:
        def compute(inputs: Tensor, targets: Tensor, keys: Tensor, *_: Tensor) -> Sequence[Tensor]:
            leaves = [leaf[lanes] for leaf in self._leaves]
            loss = self._loss_of_same if self._same_batches else self._loss_of_own
            losses = self._with_buffers(lanes, lambda buffers: loss(inputs, targets, keys, *leaves, *buffers))
            # Of their sum: where gradients are given, torch imports a computer algebra system to compare shapes.
            gradients = torch.autograd.grad(losses.sum(), leaves, materialize_grads=True)
            return losses.detach(), *gradients

        batch = self._batch(indices, lanes)
        given = batch.inputs, batch.targets, keys[lanes]
        losses, *gradients = self._tapes.call(("pass", lanes.start, lanes.stop), compute, given, self.buffers)
        return losses, gradients

    def _evaluated(self, compute: Callable[..., Tensor], lanes: slice, keys: Tensor, *data: Tensor) -> Tensor:
        def of_all(inputs: Tensor, *given: Tensor) -> Sequence[Tensor]:
            mapped = self._mapped(partial(compute, self._module), *[None] * len(data))
            own = *given[: len(data)], *(parameter[lanes] for parameter in self.parameters)
            with evaluating(self._module):
                return [self._with_buffers(lanes, lambda buffers: mapped(inputs.clone(), *own, *buffers))]

        return self._tapes.call(("evaluated", compute, lanes.start, lanes.stop), of_all, (*data, keys), self.buffers)[0]

    def _with_buffers(self, lanes: slice, compute: Callable[[list[Tensor]], Sequence[Tensor]]) -> Tensor:
        """Compute something of some lanes, and what becomes of their buffers; their own, where they were shared."""
        buffers = [buffer[lanes] for buffer in self.buffers]
        before = [buffer.clone() for buffer in buffers]
        try:
            with self._operations:
                found, *after = compute(buffers)
        except Exception as error:
            _store(buffers, before)  # the pass may have changed them before it failed
            # Numbers that differ between lanes can't be written into what they share.
            changed = self._shared.changed()
            if not changed and "more elements than `self`" in str(error):
                changed = [*range(len(self._shared))]
            if not changed:
                raise
        else:
            changed = self._shared.changed()
            if not changed:
                _store(buffers, after)
                return found
            _store(buffers, before)
        self._unshare(changed)
        return self._with_buffers(lanes, compute)

    def _unshare(self, changed: Sequence[int]) -> None:
        """Give each lane a row of its own of tensors that all shared, as they were until now: as they were built."""
        fresh = self._stack.part(slots(self._build(self.streams[0]))[1])[1]
        self._stack.constants = [slot.tensor.detach() for slot in fresh]
        self._stack.unshare(changed, len(self))
        self.buffers = self._stack.buffers
        self._arrange()

    def _each(self, score: Score, outputs: Tensor, targets: Tensor, keys: Tensor) -> Tensor:
        def one(output: Tensor, targets: Tensor, key: Tensor) -> tuple[Tensor]:
            with self._drawing(key):
                return (score(output, targets),)

        def of_all(outputs: Tensor, targets: Tensor, keys: Tensor) -> Sequence[Tensor]:
            with self._operations:
                return self._even(vmap(one, (0, None, 0)), (0, None, 0))(outputs, targets, keys)

        return self._tapes.call(("each", score), of_all, (outputs, targets, keys))[0]

    def _rebind(self) -> None:
        self._tapes.clear()
        self._stack.buffers = self.buffers
        self._leaves = [parameter.detach().requires_grad_() for parameter in self.parameters]

    def _mapped(self, compute: Callable[..., Tensor], *data: int | None) -> _Mapped:
        """Map what the module computes of data over the lanes; data of dimension None are the same for all.

        The function takes the data, the lanes' keys and all their tensors, and returns the buffers afterwards as well.
        What is drawn is replaced by what follows from each lane's key; whatever else would be drawn is refused.
        """
        count = len(data)

        def of_one(*given: Tensor) -> tuple[Tensor, ...]:
            with self._holding(given[count + 1 :]), self._drawing(given[count]):
                return compute(*given[:count]), *(slot.get() for slot in self._rest)

        places = (*data, 0, *[0] * (len(self.parameters) + len(self.buffers)))
        return self._even(vmap(of_one, in_dims=places, randomness="error"), places)

    def _even(self, mapped: _Mapped, places: Sequence[int | None]) -> _Mapped:
        """Add as many copies of a lane to what is mapped as are missing, so that each has the same numbers anyway."""

        def of_more(*given: Tensor) -> Sequence[Tensor]:
            lanes = next(len(tensor) for tensor, place in zip(given, places, strict=True) if place == 0)
            rows = given[0].shape[1 if places[0] == 0 else 0]
            missing = self._traits.evenness.missing(lanes, rows)
            if not missing:
                return mapped(*given)
            pairs = zip(given, places, strict=True)
            found = mapped(*(tensor if place is None else _with_copies(tensor, missing) for tensor, place in pairs))
            return [one[:lanes] for one in found]

        return of_more

    @property
    def _draws(self) -> bool:
        return self._traits.replaced

    def _drawing(self, key: Tensor) -> AbstractContextManager[object]:
        return LaneMasks(key, count()) if self._draws else nullcontext()

    @contextmanager
    def _holding(self, tensors: Sequence[Tensor]) -> Iterator[None]:
        """Let the module compute with one lane's tensors inside."""
        places = (*self._trained, *self._rest)
        try:
            for slot, tensor in zip(places, tensors, strict=True):
                slot.put(tensor)
            yield
        finally:
            self._shared.put_back()
            for slot in places:
                slot.put(slot.tensor)


def _with_copies(rows: Tensor, count: int) -> Tensor:
    return torch.cat([rows, rows[:1].detach().expand(count, *rows.shape[1:])])


def _keeps(name: str) -> str:
    return f"the model keeps {name} from pass to pass, which is no parameter or buffer"


def _store(buffers: list[Tensor], after: Sequence[Tensor]) -> None:
    """Take over buffers that the module replaced; those that it changed in place are there already."""
    for buffer, value in zip(buffers, after, strict=True):
        if value.data_ptr() != buffer.data_ptr():
            if (value.shape, value.dtype) != (buffer.shape, buffer.dtype):
                raise BatchingError(
                    f"a buffer of {buffer[0].dtype} and shape {tuple(buffer.shape[1:])} changes its kind"
                )
            buffer.copy_(value.detach())
