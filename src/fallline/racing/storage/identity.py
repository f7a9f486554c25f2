"""What a thing is, the same in every process: values, arrays, functions with all that they read, classes, objects."""

from __future__ import annotations

import functools
import json
import sys
import weakref
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

import numpy as np
import torch
from torch import nn

from fallline.racing.storage.sources import Sources, bytecode, digest, is_installed, module_file, reads
from fallline.symbolic import Expression, Rule, walk

_DEEPEST = 100
_PLAIN = (type(None), type(...), type(NotImplemented), bool, int, float, complex, str, bytes)
_IN_C = (WrapperDescriptorType, MethodDescriptorType, GetSetDescriptorType, MemberDescriptorType)
_METHODS = (FunctionType, staticmethod, classmethod, property)


@dataclass(frozen=True)
class Identity:
    """A hash that differs where things differ in what they compute, but for what they hold of the `unknown` types."""

    digest: str
    unknown: frozenset[str] = frozenset()


def identity(thing: Any, sources: Sources | None = None) -> Identity:
    """What a thing is, the user's sources read by `sources`.

    An object is told by its class and by all that it holds, a rule by its traced formula. A function or class is told
    by its name; one that is not of an installed package also by its bytecode, by the values that it reads from its
    module and closure, and by what stands in its file and in the user's files that this imports, comments and layout
    aside. An object that can't say what it holds, such as a lock, is `unknown`.

    >>> def scaled(factor):
    ...     return lambda loss: factor * loss
    >>> identity(scaled(1.0)) == identity(scaled(1.0)), identity(scaled(1.0)) == identity(scaled(2.0))
    (True, False)
    >>> import threading
    >>> identity([threading.Lock()]).unknown
    frozenset({'_thread.lock'})
    """
    teller = _Teller(sources or Sources())
    return Identity(teller.tell(thing), frozenset(teller.unknown))


class _Teller:
    """Walks through a thing and all that it refers to, each once; what refers to itself is told by how far up it is."""

    def __init__(self, sources: Sources) -> None:
        self.unknown: set[str] = set()
        self._sources = sources
        self._told: dict[Hashable, str] = {}
        self._open: dict[Hashable, int] = {}
        self._alive: list[Any] = []  # so that no other thing gets the same number

    def tell(self, thing: Any) -> str:
        if type(thing) in _PLAIN:
            return digest(f"{type(thing).__name__} {thing!r}".encode(errors="surrogatepass"))
        return self._once(id(thing), thing, lambda: self._parts(thing))

    def _once(self, key: Hashable, thing: Any, parts: Callable[[], Any]) -> str:
        if key in self._open:
            return digest(f"{len(self._open) - self._open[key]} up".encode())
        if key not in self._told:
            if len(self._open) == _DEEPEST:
                return self._cannot_tell(thing)
            self._alive.append(thing)
            self._open[key] = len(self._open)
            try:
                self._told[key] = digest(json.dumps(parts()).encode())
            except Exception:  # whatever a stranger's object does when it is asked
                self._told[key] = self._cannot_tell(thing)
            finally:
                del self._open[key]
        return self._told[key]

    def _cannot_tell(self, thing: Any) -> str:
        kind = f"{type(thing).__module__}.{type(thing).__qualname__}"
        self.unknown.add(kind)
        return digest(kind.encode())

    def _parts(self, thing: Any) -> Any:
        """What makes a thing up, as plain data."""
        kind = type(thing)
        if kind in (dict, MappingProxyType):
            return ["dict", [[self.tell(key), self.tell(value)] for key, value in thing.items()]]
        if kind in (list, tuple):
            return ["list", [self.tell(one) for one in thing]]
        if kind in (set, frozenset):
            return ["set", sorted(self.tell(one) for one in thing)]
        if isinstance(thing, torch.Tensor):
            return [*_bytes_of(thing), thing.requires_grad, kind.__name__]
        if kind is np.ndarray:
            content = list(map(self.tell, thing.flat)) if thing.dtype.hasobject else digest(thing.tobytes())
            return [str(thing.dtype), list(thing.shape), content]
        if isinstance(thing, Rule):
            return self._rule(thing)
        if isinstance(thing, type):
            return self._class(thing)
        if isinstance(thing, ModuleType):
            return self._module(thing, frozenset())
        if kind is weakref.ReferenceType:
            return ["reference", self.tell(thing())]
        return self._callable(thing)

    def _callable(self, thing: Any) -> Any:
        kind = type(thing)
        if kind is FunctionType:
            return self._function(thing)
        if kind is MethodType:
            return ["method", self.tell(thing.__func__), self.tell(thing.__self__)]
        if kind is CodeType:
            return ["code", bytecode(thing)]
        if kind in (staticmethod, classmethod):
            return [kind.__name__, self.tell(thing.__func__)]
        if kind is property:
            return ["property", *map(self.tell, (thing.fget, thing.fset, thing.fdel))]
        if kind is functools.cached_property:  # which holds a lock
            return ["cached property", self.tell(thing.func)]
        if kind in _IN_C:
            return [kind.__name__, self.tell(thing.__objclass__), thing.__name__]
        if kind is BuiltinFunctionType:
            owner = None if isinstance(thing.__self__, ModuleType) else thing.__self__
            return [str(thing.__module__), thing.__qualname__, self.tell(owner)]
        return self._object(thing)

    def _object(self, thing: Any) -> Any:
        """An object by what would make it again, as pickling has it."""
        reduced = _reduced_network(thing) if isinstance(thing, nn.Module) else thing.__reduce_ex__(4)
        if isinstance(reduced, str):
            return ["named", self.tell(type(thing)), reduced, self.tell(getattr(thing, "__wrapped__", None))]
        # What makes it, from what, and its state; then, of containers, the items and the pairs.
        return ["object", self.tell(reduced[:3]), *(self.tell(list(one or ())) for one in reduced[3:5])]

    def _function(self, function: FunctionType) -> Any:
        code, closure = function.__code__, function.__closure__ or ()
        held = [self.tell(function.__defaults__), self.tell(function.__kwdefaults__), *map(self._cell, closure)]
        if is_installed(code.co_filename):
            return ["function", f"{function.__module__}.{function.__qualname__}", bytecode(code), held]
        own = [self.tell(vars(function)), self._read(function)]
        return ["function", function.__qualname__, bytecode(code), held, own]

    def _cell(self, cell: Any) -> str | None:
        try:
            return self.tell(cell.cell_contents)
        except ValueError:  # not filled yet
            return None

    def _read(self, function: FunctionType) -> Any:
        """What a user's function reads from its module, and the sources of it and of what is imported there."""
        code, there = function.__code__, function.__globals__
        names = reads(code)
        found = [[name, self._named(there[name], names.all)] for name in sorted(names.of_module & there.keys())]
        within = f"{there['__package__']}." if there.get("__package__") else ""
        imported = [module_file(name) for one in names.imported for name in (one, within + one)]
        return [found, self._sources.of([code.co_filename, *filter(None, imported)])]

    def _named(self, value: Any, names: frozenset[str]) -> str:
        """What a name stands for; a module with what those names stand for in it."""
        if not isinstance(value, ModuleType):
            return self.tell(value)
        return self._once((id(value), names), value, lambda: self._module(value, names))

    def _module(self, module: ModuleType, names: frozenset[str]) -> Any:
        file, inside = getattr(module, "__file__", None), vars(module)
        if _comes_installed(module.__name__, file):
            return ["module", module.__name__]
        found = [[name, self._named(inside[name], names)] for name in sorted(names & inside.keys())]
        return ["module", found, self._sources.of([file] if file else [])]

    def _class(self, kind: type) -> Any:
        bases = [self.tell(type(kind)), *map(self.tell, kind.__bases__)]
        if _is_installed_class(kind):
            return ["class", f"{kind.__module__}.{kind.__qualname__}", bases]
        # Data between double underscores are Python's own, line numbers among them.
        members = {
            name: value
            for name, value in vars(kind).items()
            if isinstance(value, _METHODS) or not (name.startswith("__") or name == "_abc_impl")
        }
        return ["class", kind.__qualname__, bases, [[name, self.tell(members[name])] for name in sorted(members)]]

    def _rule(self, rule: Rule) -> Any:
        graph = rule.trace()
        numbers: dict[Expression, int] = {}
        nodes = []
        for node in walk(graph.roots):
            numbers[node] = len(numbers)
            nodes.append([node.operation, self.tell(node.value), [numbers[argument] for argument in node.args]])
        states = [[state.name, state.kind, self.tell(state.fill)] for state in rule.states]
        formula = [nodes, [numbers[root] for root in graph.roots]]
        # Beside the formula its functions, for what it is when truth values and strings are not the default ones.
        functions = [self.tell(part.function) for part, _ in rule.parts]  # type: ignore[attr-defined]
        return ["rule", rule.name, states, self.tell(rule.hyperparameters), formula, functions]


def _comes_installed(module: str, file: str | None) -> bool:
    if module == "__main__":  # a notebook's, for one, which an installed program runs
        return False
    return module in sys.builtin_module_names if file is None else is_installed(file)


def _is_installed_class(kind: type) -> bool:
    """Whether a class is of an installed package; one that is made within a function may hold what is the user's."""
    codes = [value.__code__ for value in vars(kind).values() if isinstance(value, FunctionType)]
    files = [code.co_filename for code in codes if Path(code.co_filename).is_file()]
    return (
        "<locals>" not in kind.__qualname__
        and _comes_installed(kind.__module__, module_file(kind.__module__))
        and all(map(is_installed, files))  # a user's file may be called as a module of Python is
    )


def _reduced_network(module: nn.Module) -> tuple[Any, ...]:
    try:
        reduced: Any = module.__reduce_ex__(4)
    except RuntimeError:  # a parametrised one refuses
        reduced = (type(module), (), vars(module))
    return (*reduced[:2], *map(_without_hook_numbers, reduced[2:3]))


def _without_hook_numbers(state: Any) -> Any:
    """A network's state without the keys of its hooks, which count all the hooks of the process."""
    if not isinstance(state, dict):
        return state
    return {name: list(held.values()) if name.endswith("_hooks") else held for name, held in state.items()}


def _bytes_of(values: torch.Tensor) -> list[Any]:
    plain = values.detach().cpu().contiguous()
    content: Any = plain.reshape(-1).view(torch.uint8).numpy() if plain.numel() else b""
    return [list(plain.shape), str(plain.dtype), digest(content)]
