"""Where generated sources and their machine code lie, so that a second process does not compile again."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import sys
import tempfile
from pathlib import Path

from fallline._version import __version__


def cache_folder() -> Path:
    """The user's cache folder for kernels, one below it for each version of Fallline and Numba.

    `FALLLINE_CACHE_DIR` says where, else the platform's cache folder. Raises OSError if the user has no home.
    """
    try:
        base = _base_folder()
    except RuntimeError as error:
        raise OSError(str(error)) from error
    return base / "kernels" / f"{__version__}-numba{importlib.metadata.version('numba')}"


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


def read_code(name: str, processor: str) -> bytes | None:
    """The machine code of a kernel for this processor; None if there is none, or if it is damaged."""
    try:
        digest, _, code = _code_path(name, processor).read_bytes().partition(b"\n")
    except OSError:
        return None
    return code if digest.decode(errors="replace") == _digest(name.encode() + code) else None


def write_code(name: str, source: str, processor: str, code: bytes) -> None:
    """Keep a kernel's source, to be read, and its machine code; a folder that can't be written keeps nothing."""
    with contextlib.suppress(OSError):
        _write(cache_folder() / f"{name}.py", source.encode())
        _write(_code_path(name, processor), _digest(name.encode() + code).encode() + b"\n" + code)


def _code_path(name: str, processor: str) -> Path:
    return cache_folder() / f"{name}.{_digest(processor.encode())[:12]}.o"


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, so that another process never reads half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
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
