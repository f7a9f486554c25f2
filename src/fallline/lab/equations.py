"""Equations as MathML, which browsers show without a script."""

from __future__ import annotations

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
    import sympy

    formula = surface(*sympy.symbols("x y", real=True))
    return _mathml(f"f(x, y) = {sympy.latex(formula)}" if surface.dimensions == 2 else f"f(x) = {sympy.latex(formula)}")


def _mathml(latex: str) -> str:
    from latex2mathml.converter import convert

    return str(convert(latex, display="block"))
