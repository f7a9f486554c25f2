"""What code is made of: the user's own source files, and what a function does where its source may not be there."""

from __future__ import annotations

import ast
import dis
import functools
import hashlib
import importlib.util
import os
import site
import sys
import sysconfig
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

#: Where every installer puts packages, in whatever environment or module system.
_PACKAGES = ("site-packages", "dist-packages")
#: What may be read of the user's sources: people's projects are far smaller, and a fingerprint is to take seconds.
_MOST_FILES, _MOST_BYTES, _MOST_SECONDS = 2_000, 50_000_000, 10.0


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


class Sources:
    """Reads the user's sources: only so many, since a fingerprint is to take seconds; `too_many` where there are more.

    From then on, none is told.
    """

    def __init__(self) -> None:
        self.too_many = False
        self._seconds, self._bytes, self._count = 0.0, 0, 0
        self._files: dict[str, tuple[str, list[str]] | None] = {}
        self._told: dict[frozenset[str], list[str]] = {}

    def of(self, files: Iterable[str]) -> list[str]:
        """Hashes of the user's files, and of all the user's files that these import, directly or not; in no order.

        Comments and layout do not matter, nor what the files are called. What is not there or is installed is passed
        over.
        """
        key, begun = frozenset(files), time.monotonic()
        if key not in self._told and not self.too_many:
            self._told[key] = self._walked(key, begun)
            self._seconds += time.monotonic() - begun
        return [] if self.too_many else self._told[key]

    def _walked(self, files: Iterable[str], begun: float) -> list[str]:
        found: dict[str, str] = {}
        waiting = list(files)
        while waiting and not self.too_many:
            file = waiting.pop()
            if file in found:
                continue
            if file not in self._files:
                self._files[file] = self._read(file)
            read = self._files[file]
            if read is not None:
                found[file], imported = read
                waiting += imported
            self.too_many |= self._seconds + time.monotonic() - begun > _MOST_SECONDS
        return sorted(found.values())

    def _read(self, file: str) -> tuple[str, list[str]] | None:
        """A hash of what stands in one of the user's files, and the files that it imports."""
        if is_installed(file) or not Path(file).is_file():
            return None
        there = Path(file).stat()
        self._bytes, self._count = self._bytes + there.st_size, self._count + 1
        self.too_many |= self._count > _MOST_FILES or self._bytes > _MOST_BYTES
        if self.too_many:
            return None
        told, imported = _read(file, there.st_mtime_ns)
        return told, [one for name in imported for one in _files_of(name, file)]


@functools.lru_cache(maxsize=2 * _MOST_FILES)
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


@dataclass(frozen=True)
class Reads:
    """The names that code takes from its module, the modules that it imports, and all names, attributes among them.

    What Python itself puts into a module, such as `__name__`, is left out.
    """

    of_module: frozenset[str]
    imported: frozenset[str]
    all: frozenset[str]


def bytecode(code: CodeType) -> str:
    """A hash of a code's instructions and constants; lines, comments and file names do not matter.

    >>> one, other = compile("x + 1", "a.py", "eval"), compile("(x  +  1)", "b.py", "eval")
    >>> bytecode(one) == bytecode(other)
    True
    """
    constants = [_constant(one) for one in code.co_consts]
    return digest(repr((code.co_code, code.co_names, code.co_freevars, code.co_flags, constants)).encode())


def _constant(value: object) -> str:
    if isinstance(value, CodeType):
        return bytecode(value)
    if isinstance(value, frozenset):
        return f"frozenset({sorted(map(_constant, value))})"
    return f"({', '.join(map(_constant, value))})" if isinstance(value, tuple) else repr(value)


def reads(code: CodeType) -> Reads:
    """What a code and the code inside it read from outside.

    >>> found = reads(compile("torch.relu(x)", "", "eval"))
    >>> sorted(found.of_module), sorted(found.all)
    (['torch', 'x'], ['relu', 'torch', 'x'])
    """
    instructions = [one for part in _nested(code) for one in dis.get_instructions(part)]
    return Reads(
        frozenset(one.argval for one in instructions if _takes(one) and not one.argval.startswith("__")),
        frozenset(one.argval for one in instructions if one.opname == "IMPORT_NAME"),
        frozenset(name for part in _nested(code) for name in part.co_names),
    )


def _takes(instruction: dis.Instruction) -> bool:
    return "GLOBAL" in instruction.opname or instruction.opname == "LOAD_NAME"


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


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
