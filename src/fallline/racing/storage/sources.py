"""Which files are the user's own, what stands in them, and which others they import."""

from __future__ import annotations

import ast
import functools
import importlib.util
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

import fallline
from fallline.racing.storage.digest import digest


@functools.cache
def is_installed(file: str) -> bool:
    """Whether a file belongs to Python or to an installed package, this one among them.

    >>> is_installed(ast.__file__), is_installed("problem.py"), is_installed("<frozen os>")
    (True, False, True)
    """
    return file.startswith("<frozen") or any(Path(file).is_relative_to(folder) for folder in _installed())


@functools.cache
def _installed() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    own = str(Path(fallline.__file__).parent)
    packages = (*site.getsitepackages(), site.getusersitepackages())
    return (own, *(paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")), *packages)


def module_file(name: str) -> str | None:
    """The file of a module, imported or not; None where there is none. Nothing is imported for the answer."""
    module = sys.modules.get(name)
    if module is not None:
        return getattr(module, "__file__", None)
    parent = name.rpartition(".")[0]
    if parent and parent not in sys.modules:
        return module_file(parent)
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None
    return spec.origin if spec is not None and spec.has_location else None


def sources(files: Iterable[str]) -> list[str]:
    """Hashes of the user's files, and of all the user's files that these import, directly or not; in no order.

    Comments and layout do not matter, nor what the files are called. What is not there or is installed is passed over.
    """
    found: dict[str, str] = {}
    waiting = list(files)
    while waiting:
        file = waiting.pop()
        if file not in found and not is_installed(file) and Path(file).is_file():
            found[file], imported = _read(file, Path(file).stat().st_mtime_ns)
            waiting += [one for name in imported for one in _files_of(name, file)]
    return sorted(found.values())


@functools.lru_cache
def _read(file: str, changed: int) -> tuple[str, tuple[str, ...]]:
    """A hash of what stands in a file, and the modules that it imports, with leading dots where they are relative."""
    content = Path(file).read_bytes()
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):  # compiled, or no Python at all
        return digest(content), ()
    return digest(ast.dump(tree).encode(errors="surrogatepass")), tuple(_imports(tree))


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # What is imported from a package may be a module of it.
            origin = "." * node.level + (node.module or "")
            within = f"{origin}." if node.module else origin
            yield from (origin, *(within + alias.name for alias in node.names))


def _files_of(name: str, importer: str) -> list[str]:
    if not name.startswith("."):
        file = module_file(name)
        return [] if file is None else [file]
    plain = name.lstrip(".")
    folder = Path(importer).parents[len(name) - len(plain) - 1].joinpath(*plain.split("."))
    return [str(folder.with_suffix(".py")), str(folder / "__init__.py")]
