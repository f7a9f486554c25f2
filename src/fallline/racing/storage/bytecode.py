"""What a function does, where its source may not be there: its instructions, and what they read from outside."""

from __future__ import annotations

import dis
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType

from fallline.racing.storage.digest import digest


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
