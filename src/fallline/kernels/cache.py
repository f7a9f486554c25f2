"""Where generated sources and their machine code lie, so that a second process does not compile again."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import stat
import sys
import tempfile
from pathlib import Path

from fallline._version import __version__


def cache_folder() -> Path:
    """The user's cache folder for kernels, one below it for each version of Fallline, Numba and llvmlite.

    `FALLLINE_CACHE_DIR` says where, else the platform's cache folder. Raises OSError if the user has no home.
    """
    try:
        base = _base_folder()
    except RuntimeError as error:
        raise OSError(str(error)) from error
    compilers = (f"{name}{importlib.metadata.version(name)}" for name in ("numba", "llvmlite"))
    return base / "kernels" / "-".join((__version__, *compilers))


def _base_folder() -> Path:
    if root := os.environ.get("FALLLINE_CACHE_DIR"):
        return Path(root)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "fallline" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "fallline"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fallline"


def kernel_name(title: str, source: str) -> str:
    """A stable, readable name: the rule's, with a digest of the source."""
    readable = "".join(c if c.isalnum() else "_" for c in title).strip("_")[:80]
    return f"{readable}_{_digest(source.encode())[:12]}"


def read_code(name: str, target: str) -> bytes | None:
    """The machine code of a kernel for this target; None if there is none, if it is damaged or if not ours alone."""
    try:
        path = _code_path(name, target)
        if not (_is_ours_alone(path.parent) and _is_ours_alone(path)):
            return None
        digest, _, code = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    return code if digest.decode(errors="replace") == _digest(name.encode() + code) else None


def write_code(name: str, source: str, target: str, code: bytes) -> None:
    """Keep a kernel's source, to be read, and its machine code.

    A folder that can't be written, or that others may write to, keeps nothing.
    """
    with contextlib.suppress(OSError):
        folder = cache_folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if _is_ours_alone(folder):
            _write(folder / f"{name}.py", source.encode())
            _write(_code_path(name, target), _digest(name.encode() + code).encode() + b"\n" + code)


def _code_path(name: str, target: str) -> Path:
    return cache_folder() / f"{name}.{_digest(target.encode())[:12]}.o"


def _is_ours_alone(path: Path) -> bool:
    """Whether nobody else can have put code there for us to run; only POSIX systems say."""
    if not hasattr(os, "geteuid"):
        return True
    status = path.stat()
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, so that another process never reads half a file."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
