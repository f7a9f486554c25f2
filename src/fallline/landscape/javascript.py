"""A surface in JavaScript, printed from the formula that it is differentiated by in Python."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fallline.landscape.calculus import Function, formulas_of


def module(function: Function, told: Mapping[str, Any]) -> str:
    """The text of an ES module whose default export is a surface's literal, its formula above it.

    Args:
        function: As for `literal`.
        told: The same.

    Raises:
        TypeError: As for `literal`.
    """
    text = literal(function, told)
    return f"// {formulas_of(function)[2][0]}\nexport default {text};\n"


def literal(function: Function, told: Mapping[str, Any]) -> str:
    """The text of an object in JavaScript, with what is told of a surface, and its height and derivatives.

    Args:
        function: The surface's.
        told: Its name, and what else is known of it, as plain data.

    Raises:
        TypeError: The function can't be written as one formula.
    """
    try:
        _, _, first, second = formulas_of(function)
    except Exception as error:
        raise TypeError(
            f"the surface '{told['name']}' can't be written as one formula ({str(error).splitlines()[0]}); write its "
            "function with +, -, *, /, ** and exp, log, cos, sin and sqrt from fallline.landscape, without branches"
        ) from error
    lines = [
        *(f"{name}: {json.dumps(value)}," for name, value in told.items()),
        *_function("slope", first),
        *_function("hessian", second),
    ]
    return "{\n" + "\n".join(f"  {line}" for line in lines) + "\n}"


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
