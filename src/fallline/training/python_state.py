"""What a module keeps beside its registered tensors: counts, lists, tensors that are plain attributes, generators."""

from __future__ import annotations

import functools
import io
import pickle
from contextlib import suppress
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

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


def outer_state(function: Any) -> dict[str, bytes]:
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
    found: dict[str, bytes] = {}
    seen: list[Any] = []
    waiting: list[Any] = [function]
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
        return held, [value for value in held.values() if isinstance(value, FunctionType)]
    own = (getattr(type(thing), name, None) for name in ("__call__", "forward"))
    return dict(getattr(thing, "__dict__", {})), [one for one in own if isinstance(one, FunctionType)]


def closed_over(function: FunctionType) -> dict[str, Any]:
    """What a function has of the functions around it, by name; without what is not there as yet."""
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):
            found[name] = cell.cell_contents
    return found


def read_globals(function: FunctionType) -> dict[str, Any]:
    """The globals that a function names."""
    there = function.__globals__
    return {name: there[name] for name in function.__code__.co_names if name in there}


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
