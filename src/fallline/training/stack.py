"""What the lanes of a population have alike: what passes do, and the tensors, stacked or shared by all."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor, nn

from fallline.training.drawing import LaneMasks
from fallline.training.evaluation import Manner, evaluating, footprint, manner_of, needs_outputs
from fallline.training.evenness import Evenness
from fallline.training.generators import draws, preserved
from fallline.training.modules import Slot, differing, mark, python_state, same, slots, stackable, unchanged_by
from fallline.training.splits import Split
from fallline.training.task import SplitTask


@dataclass
class Stack:
    """`parameters`, named `names`, and `buffers` are [K, ...], one row a lane; `constants` are the same for all lanes.

    `is_constant` tells, for each untrained tensor of a module, whether it is among the constants or the buffers.
    `obstacle` says which tensor would have to be stacked and can't be, if there is one.
    """

    names: list[str]
    parameters: list[Tensor]
    buffers: list[Tensor]
    constants: list[Tensor]
    is_constant: list[bool]
    obstacle: str | None = None

    def part(self, rest: list[Slot]) -> tuple[list[Slot], list[Slot]]:
        """Part a module's untrained tensors into those that are stacked and those that are the same for all lanes."""
        stacked = [slot for slot, constant in zip(rest, self.is_constant, strict=True) if not constant]
        return stacked, list(itertools.compress(rest, self.is_constant))

    def share(self, rest: list[Slot]) -> tuple[list[Slot], list[Slot]]:
        """The same, and let the module hold the constants of all lanes."""
        stacked, shared = self.part(rest)
        for slot, constant in zip(shared, self.constants, strict=True):
            slot.tensor.data = constant
        return stacked, shared

    def unshare(self, changed: Sequence[int], lanes: int) -> None:
        """Give each of so many lanes its own row of the constants of these numbers."""
        places = range(len(self.is_constant))
        shared = dict(zip(itertools.compress(places, self.is_constant), self.constants, strict=True))
        rows = dict(zip((place for place in places if place not in shared), self.buffers, strict=True))
        for place in [[*shared][number] for number in changed]:
            rows[place] = torch.stack([shared.pop(place)] * lanes)
        self.is_constant = [place in shared for place in places]
        self.buffers, self.constants = [rows[place] for place in sorted(rows)], [*shared.values()]


class SharedTensors:
    """Watches the tensors of a module that all lanes share, for the first pass that changes one of them."""

    def __init__(self) -> None:
        self._slots: list[Slot] = []

    def __len__(self) -> int:
        return len(self._slots)

    def hold(self, slots: list[Slot]) -> None:
        """Watch these from now on."""
        self._slots = slots
        self._replaced: set[int] = set()
        self._copies: dict[int, Tensor] = {}
        self._known = [mark(slot.tensor) for slot in slots]
        self._places: dict[int, list[int]] = {}
        for number, slot in enumerate(slots):
            self._places.setdefault(_memory(slot.tensor), []).append(number)

    def escaped(self, tensor: Tensor) -> None:
        """Note that torch is asked for memory of a tensor in which it does not count changes."""
        for number in self._places.get(_memory(tensor), ()):
            self._copies.setdefault(number, self._slots[number].tensor.detach().clone())

    def put_back(self) -> None:
        """Note which of the tensors the module replaced by others, and put them back."""
        for number, slot in enumerate(self._slots):
            if slot.get() is not slot.tensor:
                self._replaced.add(number)
                slot.put(slot.tensor)

    def changed(self) -> list[int]:
        """The numbers of the tensors that changed since `hold`."""
        found = [
            number
            for number, (slot, known) in enumerate(zip(self._slots, self._known, strict=True))
            if number in self._replaced or known != mark(slot.tensor)
        ]
        found += [number for number, was in self._copies.items() if not same(self._slots[number].tensor.detach(), was)]
        self._copies.clear()
        return list(dict.fromkeys(found))


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr() if tensor.layout == torch.strided else id(tensor)


def stack(build: Callable[[int], nn.Module], seeds: Sequence[int], unchanged: Sequence[bool]) -> Stack:
    """Stack the tensors of the modules of these seeds.

    Constant is what every seed has alike and is `unchanged` by passes, of the untrained tensors: the frozen body of
    a pretrained model takes memory and time once, however many lanes there are. So are sparse and quantised tensors,
    of which there are no rows.

    >>> def build(seed):
    ...     torch.manual_seed(seed)
    ...     return nn.Sequential(nn.BatchNorm1d(3, affine=False), nn.Linear(3, 2))
    >>> found = stack(build, [4, 5, 4], [False, False, True])
    >>> [tuple(tensor.shape) for tensor in (*found.parameters, *found.buffers)]
    [(3, 2, 3), (3, 2), (3, 3), (3, 3)]
    """
    streams = list(dict.fromkeys(seeds))
    trained, rest = slots(build(streams[0]))
    is_alike = list(unchanged)
    is_constant = _constant(rest, is_alike)
    rows = {streams[0]: [slot.tensor.detach() for slot in trained]}
    untrained = {streams[0]: [slot.tensor for slot in rest]}
    for seed in streams[1:]:
        own, own_rest = slots(build(seed))
        rows[seed] = [slot.tensor.detach() for slot in own]
        for i, (slot, other) in enumerate(zip(rest, own_rest, strict=True)):
            is_alike[i] = is_alike[i] and same(slot.tensor, other.tensor)
        is_constant = _constant(rest, is_alike)
        # What is alike so far is kept once, so that a large body is never in memory for every seed.
        pairs = zip(rest, own_rest, is_constant, strict=True)
        untrained[seed] = [slot.tensor if alike else other.tensor for slot, other, alike in pairs]
    buffers = [list(itertools.compress(untrained[seed], (not one for one in is_constant))) for seed in seeds]
    unlike = (slot for slot, one, alike in zip(rest, is_constant, is_alike, strict=True) if one and not alike)
    return Stack(
        [slot.name for slot in trained],
        _stacked([rows[seed] for seed in seeds]),
        _stacked(buffers),
        [slot.tensor.detach() for slot in itertools.compress(rest, is_constant)],
        is_constant,
        next(map(_obstacle, unlike), None),
    )


def _constant(rest: list[Slot], is_alike: list[bool]) -> list[bool]:
    return [alike or not stackable(slot.tensor) for slot, alike in zip(rest, is_alike, strict=True)]


def _obstacle(slot: Slot) -> str:
    return f"{slot.name} differs from run to run, and is of a kind that has no rows, {slot.tensor.layout}"


def _stacked(rows: list[list[Tensor]]) -> list[Tensor]:
    return [torch.stack(column) for column in zip(*rows, strict=True)]


@dataclass(frozen=True)
class Traits:
    """What the passes of a model do.

    `kept` counts the bytes that an example needs in a pass forward and backward. `replaced` says that there are random
    numbers that `LaneMasks` replaces, `others` that torch's generator is drawn from, `libraries` that Python's or
    NumPy's is. `state` names an attribute, no registered tensor, that a pass changes. `constant` says of each untrained
    tensor whether no pass changed it. `evenness` tells how many lanes a pass is to have.
    """

    manner: Manner
    kept: int
    replaced: bool
    others: bool
    libraries: bool
    state: str | None
    constant: list[bool]
    evenness: Evenness


def traits_of(problem: SplitTask, build: Callable[[], nn.Module], train: Split, key: Tensor) -> Traits:
    """Take a pass of every kind: in training, on the smaller batch that ends an epoch, and in evaluation."""
    with preserved(key.device, libraries=True):
        first, batch = build(), problem.batch
        few = Split(train.inputs[:2].clone(), train.targets[:2])
        manner = manner_of(first, few.inputs, key.device)
        kept = manner.kept
        if problem.step is not None:
            kept, _ = footprint(first, few.inputs, lambda inputs: problem.training_loss(first, inputs, few.targets))
        module, last = build(), len(train) % batch
        rest = slots(module)[1]

        def passes() -> None:
            problem.training_loss(module, train.inputs[:batch].clone(), train.targets[:batch])
            if last:
                with suppress(Exception):  # it is told where it is met
                    problem.training_loss(module, train.inputs[:last].clone(), train.targets[:last])
            with suppress(Exception), evaluating(module, gradients=manner.gradients):
                if problem.loss is None:
                    problem.evaluation_loss(module, few.inputs.clone(), few.targets)
                if needs_outputs(problem):
                    module(few.inputs.clone())

        calls, before, drawn = count(), python_state(module), (False, False)

        def watched() -> None:
            nonlocal drawn
            with LaneMasks(key, calls), evenness:
                drawn = draws(passes, key.device)

        evenness = Evenness()
        constant = unchanged_by(watched, rest)
        state = differing(before, python_state(module))
        return Traits(manner, kept, next(calls) > 0, *drawn, state, constant, evenness)
