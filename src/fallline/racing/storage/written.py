"""What the user's own functions and classes are made of: their source, and the values that they read."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Mapping
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from fallline.racing.storage.own_code import is_own, own_code
from fallline.training import closed_over, names_in

_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_DEEPEST = 20


def written(things: Iterable[object]) -> list[str]:
    """What things that are called are made of, as texts that are the same in every process.

    Those are the values that they have at hand beside their arguments: closures, defaults and attributes; and, of the
    user's own functions and classes, the globals that they name, and their source, with that of all functions and
    classes of the user's own that are reached so. What can't be read, such as a lock, is told by its type.

    >>> import functools
    >>> written([functools.partial(torch.clamp, min=0.5)])[0]
    "arguments list [dict {str 'min': float 0.5}]"
    """
    reader = _Reader()
    for thing in things:
        reader.hold("itself", thing)
    return sorted(reader.found) + own_code(reader.followed)


class _Reader:
    """Follows what is called, each once, and writes down what it holds."""

    def __init__(self) -> None:
        self.found: set[str] = set()
        self.followed: list[Any] = []
        self._seen: dict[int, Any] = {}  # with the things themselves, so that no other gets the same number

    def hold(self, name: str, value: Any) -> None:
        """Write down a value, or follow it where it is called."""
        if isinstance(value, ModuleType):
            return
        value = getattr(value, "__func__", value) if isinstance(value, staticmethod | classmethod) else value
        told = self._told(value, 0)
        if told is not None:
            self.found.add(f"{name} {told}")

    def _first(self, thing: Any) -> bool:
        if id(thing) in self._seen:
            return False
        self._seen[id(thing)] = thing
        return True

    def _told(self, value: Any, depth: int) -> str | None:
        """A value as text; None for what is followed instead."""
        kind = type(value).__name__
        if isinstance(value, float):  # NumPy's too
            return f"float {float(value)!r}"
        if isinstance(value, _PLAIN):
            return f"{kind} {value!r}"
        if isinstance(value, FunctionType | MethodType | functools.partial | type):
            self._follow(value)
            return None if depth == 0 else getattr(value, "__qualname__", kind)
        if isinstance(value, torch.Tensor | np.ndarray):
            return f"{kind} {content(value)}"
        if depth > _DEEPEST or not self._first(value):
            return kind
        if isinstance(value, list | tuple):
            return f"{kind} [{', '.join(str(self._told(one, depth + 1)) for one in value)}]"
        if isinstance(value, set | frozenset):
            return f"{kind} {sorted(str(self._told(one, depth + 1)) for one in value)}"
        if isinstance(value, Mapping):
            pairs = (f"{self._told(key, depth + 1)}: {self._told(one, depth + 1)}" for key, one in value.items())
            return f"{kind} {{{', '.join(pairs)}}}"
        if is_own(type(value)) or isinstance(value, nn.Module):
            self._follow(type(value))
            return f"{kind} {self._told(_attributes(value), depth + 1)}"
        for one in _attributes(value).values():  # a function that is cached, for one
            if isinstance(one, FunctionType | MethodType | functools.partial):
                self._follow(one)
        try:
            shown = repr(value)
        except Exception:  # a stranger's object may do anything
            return kind
        return kind if " at 0x" in shown else f"{kind} {shown}"

    def _follow(self, thing: Any) -> None:
        if not self._first(thing):
            return
        if isinstance(thing, FunctionType | type):
            self.followed.append(thing)
        if isinstance(thing, functools.partial):
            self.hold("arguments", [*thing.args, dict(thing.keywords)])
            self.hold("called", thing.func)
        elif isinstance(thing, MethodType):
            self.hold("self", thing.__self__)
            self._follow(thing.__func__)
        elif isinstance(thing, FunctionType):
            self._follow_function(thing)
        elif is_own(thing):
            for name, member in vars(thing).items():
                member = getattr(member, "__func__", getattr(member, "fget", member))
                if isinstance(member, FunctionType) or not name.startswith("__"):
                    self.hold(f"{thing.__qualname__}.{name}", member)
            for base in thing.__bases__:
                self._follow(base)

    def _follow_function(self, function: FunctionType) -> None:
        for name, value in closed_over(function).items():
            self.hold(name, value)
        self.hold("defaults", [function.__defaults__, function.__kwdefaults__])
        if not is_own(function):
            return
        there, names = function.__globals__, names_in(function.__code__)
        for name in names:
            if name in there:
                value = there[name]
                self.hold(name, value)
                if isinstance(value, ModuleType) and is_own(value):
                    for own in names:
                        if own in vars(value):
                            self.hold(f"{name}.{own}", vars(value)[own])


def _attributes(value: Any) -> dict[str, Any]:
    """What an object holds by name, in slots as well."""
    slots = (name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ()))
    held = {name: getattr(value, name) for name in slots if name != "__dict__" and hasattr(value, name)}
    return {**held, **getattr(value, "__dict__", {})}


def content(value: torch.Tensor | np.ndarray[Any, Any]) -> str:
    """An array by its bytes; one that has none of its own, such as a sparse one, by its parts."""
    kind = f"{value.dtype} {tuple(value.shape)}"
    if isinstance(value, torch.Tensor) and value.layout != torch.strided:
        value = value.to_dense() if value.layout != torch.sparse_coo else value.coalesce()
        if value.layout == torch.sparse_coo:
            return f"{kind} {content(value.indices())} {content(value.values())}"
    try:
        plain = value.detach().cpu().contiguous().reshape(-1) if isinstance(value, torch.Tensor) else value
        told = plain.view(torch.uint8).numpy() if isinstance(plain, torch.Tensor) else np.ascontiguousarray(plain)
        return f"{kind} {hashlib.sha256(told.reshape(-1).view(np.uint8).data).hexdigest()}"
    except Exception:  # of a kind that has no bytes to read
        return kind
