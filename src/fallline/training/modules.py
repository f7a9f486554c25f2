"""The tensors of a module: which are trained, which change in training, and where they are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Place = tuple[dict[str, Tensor | None], str]


@dataclass(frozen=True)
class Slot:
    """One tensor of a module and every place that holds it, several where it is shared (tied weights)."""

    name: str
    tensor: Tensor
    places: tuple[Place, ...]

    def put(self, tensor: Tensor) -> None:
        """Let the module compute with another tensor."""
        for holder, name in self.places:
            holder[name] = tensor

    def get(self) -> Tensor:
        """Return the tensor that the module computes with now."""
        holder, name = self.places[0]
        tensor = holder[name]
        assert tensor is not None
        return tensor


def trainable(module: nn.Module) -> list[nn.Parameter]:
    """The parameters that require a gradient, each once."""
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def slots(module: nn.Module) -> tuple[list[Slot], list[Slot]]:
    """A module's trainable parameters, and the rest: buffers and frozen parameters.

    >>> trained, rest = slots(nn.BatchNorm1d(3))
    >>> [slot.name for slot in trained], [slot.name for slot in rest]
    (['weight', 'bias'], ['running_mean', 'running_var', 'num_batches_tracked'])
    """
    found: dict[int, Slot] = {}
    for name, tensor, place in _places(module):
        earlier = found.get(id(tensor))
        places = (*earlier.places, place) if earlier else (place,)
        found[id(tensor)] = Slot(earlier.name if earlier else name, tensor, places)
    trained = [slot for slot in found.values() if slot.tensor.requires_grad]
    return trained, [slot for slot in found.values() if not slot.tensor.requires_grad]


def unchanged_by(action: Callable[[], object], rest: list[Slot]) -> list[bool]:
    """Which of a module's untrained tensors are the same after `action`, a pass of that module in training mode.

    >>> module = nn.Sequential(nn.Linear(2, 3).requires_grad_(False), nn.BatchNorm1d(3))
    >>> rest = slots(module)[1]
    >>> [slot.name for slot, same in zip(rest, unchanged_by(lambda: module(torch.randn(4, 2)), rest)) if same]
    ['0.weight', '0.bias']
    """
    before = [slot.tensor.clone() for slot in rest]
    action()
    return [slot.get() is slot.tensor and torch.equal(slot.tensor, was) for slot, was in zip(rest, before, strict=True)]


def _places(module: nn.Module) -> Iterator[tuple[str, Tensor, Place]]:
    for prefix, part in module.named_modules():
        for holder in (part._parameters, part._buffers):
            for name, tensor in holder.items():
                if tensor is not None:
                    yield f"{prefix}.{name}" if prefix else name, tensor, (holder, name)
