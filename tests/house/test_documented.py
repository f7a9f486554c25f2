"""Every public function, class and method lists its arguments one by one, and says what it is in a first line."""

from __future__ import annotations

import enum
import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest

import fallline

#: What is reached as `fallline.room.name`.
ROOMS = (
    "fallline",
    "fallline.arrays",
    "fallline.averaging",
    "fallline.init",
    "fallline.kernels",
    "fallline.landscape",
    "fallline.landscape.surfaces",
    "fallline.math",
    "fallline.optim",
    "fallline.problems",
    "fallline.racing",
    "fallline.rules",
    "fallline.schedules",
    "fallline.symbolic",
    "fallline.training",
)
_SKIPPED_KINDS = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _is_enumeration(value: Any) -> bool:
    return inspect.isclass(value) and issubclass(value, enum.Enum)


def _public() -> Iterator[tuple[str, Any]]:
    """Names and what they stand for: functions and classes, and the methods of classes that are written here."""
    seen: set[int] = set()
    for room in ROOMS:
        module = importlib.import_module(room)
        for name in getattr(module, "__all__", None) or [one for one in dir(module) if not one.startswith("_")]:
            value = getattr(module, name)
            home = getattr(value, "__module__", None) or ""
            # Formulas, surfaces and combinators are objects: what they take is told by what makes them.
            if not (inspect.isfunction(value) or inspect.isclass(value)) or _is_enumeration(value):
                continue
            if id(value) in seen or not home.startswith("fallline"):
                continue
            seen.add(id(value))
            yield f"{room}.{name}", value
            if inspect.isclass(value) and not issubclass(value, BaseException):
                for method, function in vars(value).items():
                    function = getattr(function, "__func__", function)  # of class methods and static ones
                    if not method.startswith("_") and inspect.isfunction(function):
                        yield f"{room}.{name}.{method}", function


CASES = dict(_public())


def _parameters(value: Any) -> list[str]:
    try:
        parameters = inspect.signature(value).parameters.values()
    except ValueError:  # an enumeration's or an exception's
        return []
    return [one.name for one in parameters if one.kind not in _SKIPPED_KINDS and one.name not in ("self", "cls")]


def _listed(documentation: str) -> set[str]:
    """The arguments that sections `Args:` and `Attributes:` list, also several to a line, as `betas, eps: ...`."""
    found: set[str] = set()
    for section in re.findall(r"^(?:Args|Attributes):\n((?:[ \t]+.*\n?|\n)*)", documentation, re.M):
        indent = re.match(r"[ \t]*", section).group()  # type: ignore[union-attr]
        for entry in re.findall(rf"^{indent}(\S[^:\n]*):", section, re.M):
            found.update(re.findall(r"\w+", entry.split("(")[0]))
    return found


@pytest.mark.parametrize("name", CASES)
def test_what_is_public_lists_its_arguments(name: str) -> None:
    value = CASES[name]
    documentation = inspect.cleandoc(value.__doc__ or "")
    assert documentation, "it has no docstring"
    assert not documentation.startswith(value.__name__ + "("), "a dataclass has no docstring of its own"
    # What a record has from another is listed there.
    parents = [one for one in getattr(value, "__mro__", ())[1:] if one.__module__.startswith("fallline.")]
    listed = _listed(documentation).union(*(_listed(inspect.cleandoc(one.__doc__ or "")) for one in parents))
    missing = set(_parameters(value)) - listed
    assert not missing, f"its docstring does not list {', '.join(sorted(missing))}"


def test_dir_shows_what_is_public_and_nothing_else() -> None:
    shown = set(dir(fallline))
    assert set(fallline.__all__) <= shown
    others = {name for name in shown - set(fallline.__all__) if not inspect.ismodule(getattr(fallline, name))}
    assert not others
    assert {"annotations", "importlib", "Any", "TYPE_CHECKING"}.isdisjoint(shown)
