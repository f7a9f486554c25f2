"""Equations as MathML, which browsers show without a script."""

from __future__ import annotations

import math
from typing import Any

from fallline.landscape import Surface
from fallline.symbolic import Rule


def of_rule(rule: Rule) -> str:
    """The equations of a rule's step, one below the other.

    >>> from fallline.rules import gradient_descent
    >>> of_rule(gradient_descent)[:71]
    '<math xmlns="http://www.w3.org/1998/Math/MathML" display="block"><mrow>'
    """
    # The converter knows the environment by its older name.
    return _mathml(rule.latex().replace("{aligned}", "{align}"))


def of_surface(surface: Surface) -> str:
    """The equation of a surface that is written as one formula."""
    return _mathml(_latex(surface))


def _latex(surface: Surface) -> str:
    """The equation in LaTeX.

    >>> from fallline.landscape import surfaces
    >>> _latex(surfaces.ravine)
    'f(x, y) = \\\\frac{x^{2}}{2} + 25 y^{2}'
    """
    import sympy

    formula = surface(*sympy.symbols("x y", real=True))
    written = {number: _number(float(number)) for number in formula.atoms(sympy.Float)}
    arguments = "x, y" if surface.dimensions == 2 else "x"
    return f"f({arguments}) = {sympy.latex(formula.xreplace(written))}"


def _number(value: float) -> Any:
    """A whole number or a whole multiple of π as such, any other with six digits."""
    import sympy

    if value.is_integer():
        return sympy.Integer(int(value))
    times = value / math.pi
    return int(times) * sympy.pi if times.is_integer() else sympy.Float(value, 6)


def _mathml(latex: str) -> str:
    from latex2mathml.converter import convert

    return str(convert(latex, display="block"))
