"""A surface in JavaScript, printed from the formula that it is differentiated by in Python."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fallline.landscape.calculus import formulas_of

if TYPE_CHECKING:
    from fallline.landscape.surface import Surface


def module(surface: Surface) -> str:
    """The text of an ES module whose default export is the surface's literal, its formula above it.

    Args:
        surface: What is written.

    Raises:
        TypeError: Its function can't be written as one formula.
    """
    return f"// {_formulas(surface)[2][0]}\nexport default {literal(surface)};\n"


def literal(surface: Surface) -> str:
    """The text of an object in JavaScript; what it has is what `Surface.javascript` says.

    Args:
        surface: What is written.

    Raises:
        TypeError: Its function can't be written as one formula.
    """
    _, _, first, second = _formulas(surface)
    told = {name: getattr(surface, name) for name in ("name", "dimensions", "view", "start", "minima", "steps")}
    lines = [
        *(f"{name}: {json.dumps(value)}," for name, value in told.items()),
        *_function("slope", first),
        *_function("hessian", second),
    ]
    return "{\n" + "\n".join(f"  {line}" for line in lines) + "\n}"


def _formulas(surface: Surface) -> tuple[Any, Any, list[Any], list[Any]]:
    try:
        return formulas_of(surface.function)
    except Exception as error:
        raise TypeError(
            f"the surface '{surface.name}' can't be written as one formula ({str(error).splitlines()[0]}); write its "
            "function with +, -, *, /, ** and exp, log, cos, sin and sqrt from fallline.landscape, without branches"
        ) from error


def _function(name: str, formulas: list[Any]) -> list[str]:
    """A method that returns numbers, each part that they share computed once, as in Python."""
    import sympy

    shared, values = sympy.cse(formulas, list=False)
    return [
        f"{name}(x, y) {{",
        *(f"  const {symbol} = {sympy.jscode(part)};" for symbol, part in shared),
        f"  const found = [{', '.join(sympy.jscode(value) for value in values)}];",
        "  return found.every(Number.isFinite) ? found : [NaN, NaN, NaN];",
        "},",
    ]
