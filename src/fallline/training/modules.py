"""The tensors of a module: which are trained, which change in training, and where they are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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
    before = [(slot.tensor.clone(), version(slot.tensor)) for slot in rest]
    action()
    return [
        slot.get() is slot.tensor and version(slot.tensor) == then and same(slot.tensor, was)
        for slot, (was, then) in zip(rest, before, strict=True)
    ]


def version(tensor: Tensor) -> int:
    """How often a tensor was changed in place, as far as torch counts it."""
    return 0 if tensor.is_inference() else tensor._version


def densify(parameters: Iterable[Tensor]) -> None:
    """Make sparse gradients dense, as they are in a race, for optimizers that take no sparse ones."""
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.layout != torch.strided:
            parameter.grad = parameter.grad.to_dense()


def stackable(tensor: Tensor) -> bool:
    """Whether rows of such tensors can be stacked: not those of sparse or quantised ones."""
    return tensor.layout == torch.strided and not tensor.is_quantized


def same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same, sparse ones too.

    >>> same(torch.eye(2).to_sparse(), torch.eye(2).to_sparse()), same(torch.eye(2), torch.ones(2, 2))
    (True, False)
    """
    if (one.layout, one.shape, one.dtype) != (other.layout, other.shape, other.dtype):
        return False
    if one.layout != torch.strided:
        one, other = one.to_dense(), other.to_dense()
    if one.is_quantized:
        one, other = one.dequantize(), other.dequantize()
    return torch.equal(one, other)


def _places(module: nn.Module) -> Iterator[tuple[str, Tensor, Place]]:
    for prefix, part in module.named_modules():
        for holder in (part._parameters, part._buffers):
            for name, tensor in holder.items():
                if tensor is not None:
                    yield f"{prefix}.{name}" if prefix else name, tensor, (holder, name)
