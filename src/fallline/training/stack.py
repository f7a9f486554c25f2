"""The tensors of a population: those of every lane stacked, and those that all lanes share."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fallline.training.modules import Slot, slots, unchanged_by


@dataclass(frozen=True)
class Stack:
    """`parameters`, named `names`, and `buffers` are [K, ...], one row a lane; `constants` are the same for all lanes.

    `is_constant` tells, for each untrained tensor of a module, whether it is among the constants or the buffers.
    """

    names: list[str]
    parameters: list[Tensor]
    buffers: list[Tensor]
    constants: list[Tensor]
    is_constant: list[bool]

    def share(self, rest: list[Slot]) -> tuple[list[Slot], list[Slot]]:
        """Part a module's untrained tensors into those that are stacked and those that are shared, and share these."""
        shared = list(itertools.compress(rest, self.is_constant))
        for slot, constant in zip(shared, self.constants, strict=True):
            slot.tensor.data = constant
        return [slot for slot, constant in zip(rest, self.is_constant, strict=True) if not constant], shared


def stack(build: Callable[[int], nn.Module], seeds: Sequence[int], take_pass: Callable[[nn.Module], object]) -> Stack:
    """Stack the tensors of the modules of these seeds.

    Constant is what every seed has alike and `take_pass`, a pass in training mode, leaves as it is: the frozen body of
    a pretrained model takes memory and time once, however many lanes there are.

    >>> def build(seed):
    ...     torch.manual_seed(seed)
    ...     return nn.Sequential(nn.BatchNorm1d(3, affine=False), nn.Linear(3, 2))
    >>> found = stack(build, [4, 5, 4], lambda module: module(torch.randn(6, 3)))
    >>> [tuple(tensor.shape) for tensor in (*found.parameters, *found.buffers)]
    [(3, 2, 3), (3, 2), (3, 3), (3, 3), (3,)]
    """
    streams = list(dict.fromkeys(seeds))
    trained, rest = slots(build(streams[0]))
    is_constant = [False] * len(rest)
    if rest:
        probe = build(streams[0])
        is_constant = unchanged_by(lambda: take_pass(probe), slots(probe)[1])
    rows = {streams[0]: [slot.tensor.detach() for slot in trained]}
    untrained = {streams[0]: [slot.tensor for slot in rest]}
    for seed in streams[1:]:
        own, own_rest = slots(build(seed))
        rows[seed] = [slot.tensor.detach() for slot in own]
        for i, (slot, other) in enumerate(zip(rest, own_rest, strict=True)):
            is_constant[i] = is_constant[i] and torch.equal(slot.tensor, other.tensor)
        # What is alike so far is kept once, so that a large body is never in memory for every seed.
        pairs = zip(rest, own_rest, is_constant, strict=True)
        untrained[seed] = [slot.tensor if alike else other.tensor for slot, other, alike in pairs]
    buffers = [list(itertools.compress(untrained[seed], (not one for one in is_constant))) for seed in seeds]
    return Stack(
        [slot.name for slot in trained],
        _stacked([rows[seed] for seed in seeds]),
        _stacked(buffers),
        [slot.tensor.detach() for slot in itertools.compress(rest, is_constant)],
        is_constant,
    )


def _stacked(rows: list[list[Tensor]]) -> list[Tensor]:
    return [torch.stack(column) for column in zip(*rows, strict=True)]
