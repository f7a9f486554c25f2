"""Write the stubs where type checkers and editors read names that rules' and operations' records give at run time.

Run it after a rule, a combinator or an operation was added, in the root of a checkout; a test says if it was forgotten.
"""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

from fallline import arrays, math, optim, rules
from fallline.arrays import optimizer as array_classes
from fallline.optim import generic
from fallline.rules import registry


def stubs() -> dict[Path, str]:
    """The text of each, by its path."""
    named = [
        f"from {module.__name__} import {record.name} as {record.name}"
        for module in registry.MODULES
        for record in getattr(module, "RECORDS", ())
    ]
    combined = [f"from {made.__module__} import {name} as {name}" for name, made in rules.COMBINATORS.items()]
    return {
        _stub(rules): _text(rules, sorted(named + combined)),
        _stub(arrays): _text(arrays, _classes(array_classes)),
        _stub(optim): _text(optim, [*_classes(generic), "def __getattr__(name: str) -> Any: ..."]),
        _stub(math): _text(math, ["Value = Expression | float", *_functions()]),
    }


def _functions() -> list[str]:
    """The heads of fallline.math's functions."""
    heads = {name: str(inspect.signature(getattr(math, name))).replace("'", "") for name in math.__all__}
    return [f"def {name}{head}: ..." for name, head in heads.items()]


def _classes(module: Any) -> list[str]:
    return [f"from {module.__name__} import Named", *(f"{name}: type[Named]" for name in module.CLASSES)]


def _stub(door: Any) -> Path:
    return Path(door.__file__).with_suffix(".pyi")


def _text(door: Any, found: list[str]) -> str:
    """What a door's file imports itself, and what is found at run time."""
    own = [
        f"from {node.module} import {alias.name} as {alias.asname or alias.name}"
        for node in ast.parse(Path(door.__file__).read_text()).body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fallline")
        for alias in node.names
        if not (alias.asname or "").startswith("_")
    ]
    typing = ["from typing import Any"] if any("Any" in line for line in found) else []
    lines = ('"""Written by tools/stubs.py."""', "", *typing, *own, "", *found, "", "__all__: list[str]", "")
    return "\n".join(lines)


if __name__ == "__main__":
    for path, text in stubs().items():
        path.write_text(text)
