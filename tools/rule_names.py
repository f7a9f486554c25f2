"""Write `src/fallline/rules/__init__.pyi`, where type checkers and editors read the names that are found at run time.

Run it in the root of a checkout after a rule or a combinator was added; a test says when that was forgotten.
"""

from __future__ import annotations

import ast
from pathlib import Path

from fallline.rules import COMBINATORS, registry

_DOOR = Path(registry.__file__).with_name("__init__.py")
STUB = _DOOR.with_suffix(".pyi")


def stub() -> str:
    """What the door imports itself, and each rule and combinator from its own file."""
    statements = [node for node in ast.parse(_DOOR.read_text()).body if isinstance(node, ast.ImportFrom)]
    names = [(node.module, [alias.name for alias in node.names]) for node in statements]
    for module in registry.MODULES:
        names.append((module.__name__, [record.name for record in getattr(module, "RECORDS", ())]))
    names += [(combinator.__module__, [name]) for name, combinator in COMBINATORS.items()]
    lines = sorted(f"from {module} import {name} as {name}" for module, held in names for name in held)
    return "\n".join(('"""Written by tools/rule_names.py."""', "", *lines, "", "__all__: list[str]", ""))


if __name__ == "__main__":
    STUB.write_text(stub())
