"""What a thing is, as plain data that is the same in every process: values, arrays, functions, rules."""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import re
import site
import sysconfig
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np
import torch
from torch import nn

import fallline
from fallline.symbolic import Rule
from fallline.symbolic.expression import Expression, walk

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_DIGITS = 16


def digest(*contents: bytes | memoryview) -> str:
    """A hash in hexadecimal digits.

    >>> digest(b"a")
    '40f89e395b66422f'
    """
    hashed = hashlib.blake2b(digest_size=_DIGITS // 2)
    for content in contents:
        hashed.update(content)
    return hashed.hexdigest()


def identity(thing: Any) -> Any:
    """Plain data that differ where things differ in what they compute.

    Functions and classes are told by their names and, where they are not of an installed package, by what stands in
    their file, comments and layout aside; without a file by their bytecode. A rule is told by its traced formula.

    >>> identity({"lr": 0.1, "betas": (0.9, 0.999)})
    [['lr', '0.1'], ['betas', ['0.9', '0.999']]]
    """
    if thing is None or isinstance(thing, (bool, int, str)):
        return thing
    if isinstance(thing, np.generic):
        return identity(thing.item())
    if isinstance(thing, float):
        return repr(thing)
    if isinstance(thing, Mapping):
        return [[str(key), identity(value)] for key, value in thing.items()]
    if isinstance(thing, (list, tuple)):
        return [identity(one) for one in thing]
    if isinstance(thing, (torch.Tensor, np.ndarray)):
        return _data(torch.as_tensor(thing))
    if isinstance(thing, Rule):
        return _rule(thing)
    if isinstance(thing, nn.Module):
        return [_ADDRESS.sub("", repr(thing)), identity(thing.state_dict()), _types(map(type, thing.modules()))]
    if isinstance(thing, type):
        return _types(thing.__mro__)
    if is_dataclass(thing):
        return [type(thing).__qualname__, [[one.name, identity(getattr(thing, one.name))] for one in fields(thing)]]
    return _callable(thing)


def _data(values: torch.Tensor) -> list[Any]:
    plain = values.detach().cpu().contiguous()
    content: Any = plain.reshape(-1).view(torch.uint8).numpy() if plain.numel() else b""
    return [list(plain.shape), str(plain.dtype), digest(content)]


def _rule(rule: Rule) -> list[Any]:
    graph = rule.trace()
    numbers: dict[Expression, int] = {}
    nodes = []
    for node in walk(graph.roots):
        numbers[node] = len(numbers)
        nodes.append([node.operation, identity(node.value), [numbers[argument] for argument in node.args]])
    states = [[state.name, state.kind, identity(state.fill)] for state in rule.states]
    formula = [nodes, [numbers[root] for root in graph.roots]]
    # Beside the formula its source, for what it is when truth values and strings are not the default ones.
    sources = [_callable(part.function) for part, _ in rule.parts]  # type: ignore[attr-defined]
    return [rule.name, states, identity(rule.hyperparameters), formula, sources]


def _types(classes: Iterable[type]) -> list[list[Any]]:
    """Classes by name, with the source of those that are the user's."""
    return [[_named(one), _source(_code_in(one))] for one in dict.fromkeys(classes)]


def _callable(thing: Any) -> Any:
    if isinstance(thing, functools.partial):
        return ["partial", identity(thing.func), identity(thing.args), identity(thing.keywords)]
    function = getattr(thing, "__func__", thing)
    code = getattr(function, "__code__", None)
    if code is None and hasattr(thing, "__qualname__"):
        return _named(thing)
    if code is None:
        return [identity(type(thing)), _ADDRESS.sub("", repr(thing))]
    return [_named(function), _source(code) or _bytecode(code), _held(function)]


def _named(thing: Any) -> str:
    # A script is __main__ where it is run, and called after its file where that is imported.
    return str(thing.__qualname__ if _is_users(_code_in(thing)) else f"{thing.__module__}.{thing.__qualname__}")


def _code_in(thing: Any) -> CodeType | None:
    """The code of a function, or of the first one in a class."""
    found = vars(thing).values() if isinstance(thing, type) else [thing]
    return next((one.__code__ for one in found if hasattr(one, "__code__")), None)


def _is_users(code: CodeType | None) -> bool:
    return code is not None and not any(Path(code.co_filename).is_relative_to(folder) for folder in _installed())


@functools.cache
def _installed() -> tuple[str, ...]:
    """The folders of Python and of installed packages, this one among them."""
    paths = sysconfig.get_paths()
    own = str(Path(fallline.__file__).parent)
    return (own, *(paths[name] for name in ("stdlib", "purelib", "platlib")), *site.getsitepackages(), "<frozen")


def _source(code: CodeType | None) -> str | None:
    """A hash of what stands in the user's file that the code comes from; None where there is none."""
    if code is None or not _is_users(code) or not Path(code.co_filename).is_file():
        return None
    return _source_of_file(code.co_filename, Path(code.co_filename).stat().st_mtime_ns)


@functools.lru_cache
def _source_of_file(path: str, changed: int) -> str:
    content = Path(path).read_bytes()
    try:
        return digest(ast.dump(ast.parse(content)).encode())
    except SyntaxError:
        return digest(content)


def _bytecode(code: CodeType) -> str:
    return digest(repr((code.co_code, code.co_names, [_constant(one) for one in code.co_consts])).encode())


def _constant(value: Any) -> Any:
    if isinstance(value, CodeType):
        return _bytecode(value)
    return sorted(map(repr, value)) if isinstance(value, frozenset) else value


def _held(function: Any) -> list[Any]:
    """What a function holds beside its code, as far as it is plain: other things may hold the function itself."""
    held = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # a cell that is not filled yet
            held.append(cell.cell_contents)
    plain = (bool, int, float, str, tuple, list, torch.Tensor, np.ndarray)
    return [identity(one) if isinstance(one, plain) else type(one).__name__ for one in held]
