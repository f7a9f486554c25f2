"""What a module holds: its tensors, which are trained or change in training, and whatever it keeps beside them."""

from __future__ import annotations

import functools
import io
import pickle
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import CodeType, FunctionType, GeneratorType, MethodType, ModuleType
from typing import Any

import numpy as np
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
    """The parameters that require a gradient, each once.

    Args:
        module: The module.
    """
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


def densify(parameters: Iterable[Tensor]) -> bool:
    """Make sparse gradients dense, as they are in a race, for optimizers that take no sparse ones.

    Args:
        parameters: The tensors whose `grad` is changed.

    Returns:
        Whether there were any.
    """
    found = False
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.layout != torch.strided:
            parameter.grad, found = parameter.grad.to_dense(), True
    return found


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


def address(tensor: Tensor) -> int:
    """What tells the numbers of a tensor from those of another: where they are, if they lie in a row."""
    return tensor.data_ptr() if tensor.layout == torch.strided else id(tensor)


def mark(tensor: Tensor) -> tuple[int, int]:
    """What is another once a tensor was changed, or has come to hold other memory."""
    return version(tensor), address(tensor)


def bytes_of(tensor: Tensor) -> int:
    """Bytes of a tensor, of a sparse one as if it held all its elements."""
    return tensor.numel() * tensor.element_size()


def _places(module: nn.Module) -> Iterator[tuple[str, Tensor, Place]]:
    for prefix, part in module.named_modules():
        for holder in (part._parameters, part._buffers):
            for name, tensor in holder.items():
                if tensor is not None:
                    yield f"{prefix}.{name}" if prefix else name, tensor, (holder, name)


#: What torch keeps in a module: its tensors and modules, which are told by name only, and hooks.
_OF_TORCH = {"_parameters", "_buffers", "_modules", "training", "_non_persistent_buffers_set"}
_READ = 4096  # elements up to which a tensor is told by its numbers, beyond by its version
_MOST_FUNCTIONS = 100  # that are looked into


def python_state(module: nn.Module) -> dict[str, bytes]:
    """A digest of each attribute of a module and its parts, equal as long as nothing in it changes.

    Registered tensors are told by their names alone.

    >>> module = nn.Linear(2, 2)
    >>> module.calls, module.seen = 0, [1, {"two": torch.ones(2)}]
    >>> before = python_state(module)
    >>> before == python_state(module)
    True
    >>> _ = module.seen[1]["two"].mul_(2)
    >>> differing(before, python_state(module))
    'seen'
    """
    found: dict[str, bytes] = {}
    for prefix, part in module.named_modules():
        start = f"{prefix}." if prefix else ""
        found[f"{start}parts"] = repr([[*part._parameters], [*part._buffers], [*part._modules]]).encode()
        for name, value in vars(part).items():
            if name not in _OF_TORCH:
                found[f"{start}{name}"] = _digest(value)
    return found


def outer_state(*functions: Any) -> dict[str, bytes]:
    """A digest of what losses, steps and the like reach beside their arguments, by name.

    That is closures, globals, attributes, also those of modules and classes.

    >>> calls = [0]
    >>> def loss(output, target):
    ...     calls[0] += 1
    ...     return output.mean()
    >>> before = outer_state(loss)
    >>> _ = loss(torch.ones(2), None)
    >>> differing(before, outer_state(loss))
    'calls'
    """
    found: dict[str, bytes] = {}
    seen: list[Any] = []
    waiting: list[Any] = [*functions]
    while waiting and len(seen) < _MOST_FUNCTIONS:
        thing = waiting.pop()
        if any(thing is one for one in seen) or str(getattr(thing, "__module__", "")).startswith("torch."):
            continue
        seen.append(thing)
        held, further = _reached(thing)
        waiting += further
        for name, value in held.items():
            if not isinstance(value, type | FunctionType | ModuleType):
                found[name if name not in found else f"{name} of function {len(seen)}"] = _digest(value)
    return found


def _reached(thing: Any) -> tuple[dict[str, Any], list[Any]]:
    """What something that is called has at hand, by name, and what it calls or belongs to."""
    if isinstance(thing, functools.partial):
        return {"its arguments": (thing.args, thing.keywords)}, [thing.func]
    if isinstance(thing, MethodType):
        return {}, [thing.__func__, thing.__self__]
    if isinstance(thing, FunctionType):
        held = {**read_globals(thing), **closed_over(thing), "its defaults": thing.__defaults__}
        for name, value in list(held.items()):
            if isinstance(value, type | ModuleType) and not value.__name__.startswith("torch"):
                held |= {f"{name}.{own}": vars(value)[own] for own in names_in(thing.__code__) if own in vars(value)}
        return held, [value for value in held.values() if isinstance(value, FunctionType)]
    own = (getattr(type(thing), name, None) for name in ("__call__", "forward"))
    return dict(getattr(thing, "__dict__", {})), [one for one in own if isinstance(one, FunctionType)]


def closed_over(function: FunctionType) -> dict[str, Any]:
    """What a function has of the functions around it, by name; without what is not there as yet.

    Args:
        function: The function.

    >>> def around(factor):
    ...     return lambda x: factor * x
    >>> closed_over(around(2.0))
    {'factor': 2.0}
    """
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):
            found[name] = cell.cell_contents
    return found


def read_globals(function: FunctionType) -> dict[str, Any]:
    """The globals that a function names, and that functions within it do."""
    there = function.__globals__
    return {name: there[name] for name in names_in(function.__code__) if name in there}


def names_in(code: CodeType) -> dict[str, None]:
    """The globals and attributes that code names, and that code within it does, in order.

    Args:
        code: Of a function.

    >>> list(names_in((lambda x: torch.relu(x)).__code__))
    ['torch', 'relu']
    """
    inner = (one for part in code.co_consts if isinstance(part, CodeType) for one in names_in(part))
    return dict.fromkeys([*code.co_names, *inner])


def differing(before: dict[str, bytes], after: dict[str, bytes]) -> str | None:
    """The name of an attribute that two digests differ in, if there is one."""
    names = (name for name in {**before, **after} if before.get(name) != after.get(name))
    return next(names, None)


def _digest(value: Any) -> bytes:
    stream = io.BytesIO()
    try:
        _Digest(stream, 4).dump(value)
    except Exception:  # what can't be read can't be compared: it is told by what it is
        return f"{type(value)} {id(value)}".encode()
    return stream.getvalue()


class _Digest(pickle.Pickler):
    """Writes values, and what can't be written by its identity; nothing is ever read back."""

    def persistent_id(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return _tensor(value)
        if isinstance(value, np.ndarray) and value.size > _READ:
            return id(value), value.shape, str(value.dtype), value.flat[:: value.size // _READ].tobytes()
        if isinstance(value, torch.Generator):
            return value.get_state().numpy().tobytes()
        if isinstance(value, GeneratorType):
            return id(value), None if value.gi_frame is None else repr(value.gi_frame.f_locals)
        if isinstance(value, type | FunctionType | MethodType | ModuleType):
            return id(value)
        return None

    def reducer_override(self, value: Any) -> Any:
        try:
            value.__reduce_ex__(4)
        except Exception:
            return str, (f"{type(value)} {id(value)}",)
        return NotImplemented


def _tensor(tensor: Tensor) -> Any:
    try:
        place = id(tensor), tensor._version, tuple(tensor.shape), str(tensor.dtype)
        if tensor.layout == torch.strided and tensor.numel() <= _READ:
            return *place, tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
    except Exception:
        return (id(tensor),)
    return place
