"""Doors that open late: what a room lists is imported when it is first asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def door(room: str, homes: Mapping[str, Iterable[str]]) -> Callable[[str], Any]:
    """Return what a room needs for its `__getattr__`.

    Args:
        room: The package's name.
        homes: The public names that each of its modules is the home of.

    >>> door("fallline", {"_version": ["__version__"]})("nothing")
    Traceback (most recent call last):
    AttributeError: module 'fallline' has no attribute 'nothing'
    """
    where = {name: home for home, names in homes.items() for name in names}

    def find(name: str) -> Any:
        if name not in where:
            raise AttributeError(f"module '{room}' has no attribute '{name}'")
        return getattr(importlib.import_module(f"{room}.{where[name]}"), name)

    return find
