"""What a module keeps beside its registered tensors: counts, lists, tensors that are plain attributes, generators."""

from __future__ import annotations

import functools
import io
import pickle
from contextlib import suppress
from types import FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

#: What torch keeps in a module: its tensors and modules, which are told by name only, and hooks.
_OF_TORCH = {"_parameters", "_buffers", "_modules", "training", "_non_persistent_buffers_set"}
_READ = 4096  # elements up to which a tensor is told by its numbers, beyond by its version


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


def outer_state(function: Any, depth: int = 3) -> dict[str, bytes]:
    """A digest of what a loss or a step reaches beside its arguments: closures, globals, attributes, by their names.

    >>> calls = [0]
    >>> def loss(output, target):
    ...     calls[0] += 1
    ...     return output.mean()
    >>> before = outer_state(loss)
    >>> _ = loss(torch.ones(2), None)
    >>> differing(before, outer_state(loss))
    'calls'
    """
    if isinstance(function, functools.partial):
        given = {"its arguments": _digest((function.args, function.keywords))}
        return {**given, **outer_state(function.func, depth)}
    if isinstance(function, MethodType):
        return {**outer_state(function.__func__, depth), **_attributes(function.__self__)}
    if not isinstance(function, FunctionType):
        return _attributes(function)
    names = function.__globals__
    reached = {name: names[name] for name in function.__code__.co_names if name in names}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # a cell may be empty as yet
            reached[name] = cell.cell_contents
    found: dict[str, bytes] = {}
    for name, value in reached.items():
        if not isinstance(value, type | FunctionType | ModuleType):
            found[name] = _digest(value)
        elif isinstance(value, FunctionType) and depth and not value.__module__.startswith("torch"):
            found |= outer_state(value, depth - 1)
    return found


def _attributes(thing: Any) -> dict[str, bytes]:
    return {name: _digest(value) for name, value in getattr(thing, "__dict__", {}).items()}


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
        if isinstance(value, torch.Generator):
            return value.get_state().numpy().tobytes()
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
