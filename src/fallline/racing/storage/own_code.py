"""The user's own code: which files are theirs, and the source text of what they wrote, with all that it names."""

from __future__ import annotations

import ast
import functools
import importlib.util
import linecache
import os
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

#: Where every installer puts packages, in whatever environment or module system.
_PACKAGES = ("site-packages", "dist-packages")
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


@functools.cache
def is_installed(file: str) -> bool:
    """Whether a file belongs to Python or to an installed distribution, wherever that lies, this package among them.

    A distribution that is installed for editing lies where its author works on it, and is the user's.

    >>> is_installed(ast.__file__), is_installed("problem.py"), is_installed("<frozen os>")
    (True, False, True)
    """
    if file.startswith("<frozen"):
        return True
    return any(_lies_installed(path) for path in dict.fromkeys((Path(file), Path(os.path.realpath(file)))))


def _lies_installed(path: Path) -> bool:
    if not set(_PACKAGES).isdisjoint(path.parts) or any(path.is_relative_to(folder) for folder in _installed()):
        return True
    for folder in dict.fromkeys(map(os.path.abspath, sys.path)):
        if path.is_relative_to(folder) and path != Path(folder):
            top = path.relative_to(folder).parts[0]
            if {top, top.partition(".")[0]} & _distributed(folder):
                return True
    return False


@functools.cache
def _installed() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    own = str(Path(__file__).parents[2])
    packages = (*site.getsitepackages(), site.getusersitepackages())
    return (own, *(paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")), *packages)


@functools.cache
def _distributed(folder: str) -> frozenset[str]:
    """The packages and modules in a folder that an installer put there, as `pip install --target` does.

    It lists them beside them; what a development tree says of itself (SOURCES.txt) is not such a list.
    """
    found: set[str] = set()
    for listed in (*Path(folder).glob("*.dist-info/RECORD"), *Path(folder).glob("*.egg-info/installed-files.txt")):
        try:
            lines = listed.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        own = "../" if listed.name != "RECORD" else ""  # older lists are relative to themselves
        tops = {line.removeprefix(own).partition(",")[0].partition("/")[0] for line in lines}
        found |= {top.removesuffix(".py") for top in tops if top not in ("", "..") and not top.endswith(".pth")}
    return frozenset(found)


def is_own(thing: Any) -> bool:
    """Whether a function, a class or a module is the user's own."""
    if isinstance(thing, FunctionType):
        return not is_installed(thing.__code__.co_filename)
    if isinstance(thing, type) and thing.__module__ == "__main__":  # a notebook's, for one, which a program runs
        return True
    file = _class_file(thing) if isinstance(thing, type) else getattr(thing, "__file__", None)
    return file is not None and not is_installed(file)


def own_code(things: Iterable[object]) -> list[str]:
    """The source of functions and classes, as far as it is the user's own: comments, layout and file names aside.

    With a file come all of the user's files that it imports at its top, whole. A function that has no source, as in a
    plain Python prompt, is told by its bytecode.

    >>> own_code([ast.parse])
    []
    """
    texts: set[str] = set()
    seen: set[str] = set()
    for file, module, code in _places(things):
        tree = _tree(file)
        found = [] if tree is None else [ast.dump(node) for node in _definitions(tree, code)]
        texts |= set(found or ([] if isinstance(code, str) else [_bytecode(code)]))
        if tree is not None:
            for imported in _imports(tree, module):
                texts |= set(_whole(imported, seen))
    return sorted(texts)


def _places(things: Iterable[object]) -> Iterator[tuple[str, str, CodeType | str]]:
    """File, module, and code or class name of what is the user's own."""
    for thing in things:
        code, module = getattr(thing, "__code__", None), getattr(thing, "__module__", None) or ""
        told: CodeType | str
        if isinstance(code, CodeType):
            file, told = code.co_filename, code
        else:  # a class, or an object of one
            kind = thing if isinstance(thing, type) else type(thing)
            file, module, told = _class_file(kind) or "<frozen>", kind.__module__, kind.__qualname__.rpartition(".")[2]
        if not is_installed(file):
            yield file, module, told


def _class_file(kind: type) -> str | None:
    """The file of a class: its module's, or, in a notebook, that of one of its methods."""
    named = getattr(sys.modules.get(kind.__module__), "__file__", None)
    codes = (getattr(member, "__code__", None) for member in vars(kind).values())
    return named or next((code.co_filename for code in codes if isinstance(code, CodeType)), None)


def _tree(file: str) -> ast.Module | None:
    linecache.checkcache(file)  # which may have been edited and loaded anew
    try:
        return ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError):
        return None


def _definitions(tree: ast.Module, code: CodeType | str) -> list[ast.AST]:
    """The definitions of a class by its name, or of a function by its line."""
    defined = [node for node in ast.walk(tree) if isinstance(node, _DEFINITIONS)]
    if isinstance(code, str):
        return [node for node in defined if getattr(node, "name", None) == code]
    return [node for node in defined if _first_line(node) == code.co_firstlineno]


def _bytecode(code: CodeType) -> str:
    constants = [_bytecode(one) if isinstance(one, CodeType) else repr(one) for one in code.co_consts]
    return repr([code.co_code.hex(), code.co_names, constants])


def _first_line(node: ast.AST) -> int:
    """Where Python says that a definition begins: at its first decorator."""
    return min(getattr(line, "lineno", sys.maxsize) for line in (*getattr(node, "decorator_list", ()), node))


def _imports(tree: ast.Module, module: str) -> Iterator[ModuleType]:
    """The modules that a file imports, as far as they are imported."""
    package = getattr(sys.modules.get(module), "__package__", None) or ""
    inner = {part for node in ast.walk(tree) if isinstance(node, _DEFINITIONS) for part in ast.walk(node)}
    for node in ast.walk(tree):
        names: list[str] = []
        if node in inner:  # it is imported once that runs, if ever
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            try:
                base = importlib.util.resolve_name(base, package)
            except ImportError:
                continue
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            for length in range(1, len(parts) + 1):  # a package's own file is run as well
                if (found := sys.modules.get(".".join(parts[:length]))) is not None:
                    yield found


def _whole(module: ModuleType, seen: set[str]) -> Iterator[str]:
    """The source of a module of the user's own and of those that it imports, each once."""
    file = getattr(module, "__file__", None)
    if file is None or file in seen or is_installed(file):
        return
    seen.add(file)
    tree = _tree(file)
    if tree is not None:
        yield ast.dump(tree)
        for imported in _imports(tree, module.__name__):
            yield from _whole(imported, seen)
