"""What there is to choose from in the lab: surfaces and rules with their equations and ranges, schedules, presets."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

from fallline import rules
from fallline.lab.descent import SCHEDULES, schedule_parameters
from fallline.lab.presets import PRESETS
from fallline.landscape import Surface, surfaces
from fallline.racing.arms import Range, space_of
from fallline.symbolic import Rule

_TITLES = {"goldstein-price": "Goldstein-Price (log)", "styblinski-tang": "Styblinski-Tang"}


@cache
def catalogue() -> dict[str, Any]:
    """All of it as plain data."""
    return {
        "surfaces": [_surface(surface) for surface in surfaces.ALL.values()],
        "rules": [_rule(record) for record in rules.RECORDS.values()],
        "schedules": [
            {"name": "constant", "parameters": {}},
            *({"name": name, "parameters": schedule_parameters(name)} for name in SCHEDULES),
        ],
        "presets": PRESETS,
    }


def _surface(surface: Surface) -> dict[str, Any]:
    told = ("name", "teaches", "view", "start", "steps", "minima", "dimensions")
    return {
        **{key: getattr(surface, key) for key in told},
        "title": _TITLES.get(surface.name, surface.name.replace("-", " ").capitalize()),
        "equation": _mathml(_latex(surface)),
    }


def _rule(record: rules.Record) -> dict[str, Any]:
    low, high = record.surface_lrs
    return {
        "name": record.name,
        "equation": of_rule(record.rule),
        "hyperparameters": {
            key: _hyperparameter(record.name, key, default)
            for key, default in record.rule.hyperparameters.items()
            if key != "lr" and default is not None and default != math.inf
        },
        "lr": {"default": record.surface_lr, "low": low, "high": high},
    }


def _hyperparameter(rule: str, key: str, default: Any) -> dict[str, Any]:
    """Its default and where to look; a truth value has "scale": "choice", and no ends."""
    space = space_of(rule, key, default)
    if isinstance(default, bool):
        return {"default": default, "low": None, "high": None, "scale": "choice"}
    # What is off at 0, as a warm-up or a decay of the rate, has no range of its own.
    ends = space if isinstance(space, Range) else Range(0.0, 1.0, "linear")
    return {"default": default, "low": ends.low, "high": ends.high, "scale": ends.scale}


def of_rule(rule: Rule) -> str:
    """The equations of a rule's step, one below the other.

    >>> from fallline.rules import gradient_descent
    >>> of_rule(gradient_descent)[:71]
    '<math xmlns="http://www.w3.org/1998/Math/MathML" display="block"><mrow>'
    """
    # The converter knows the environment by its older name.
    return _mathml(rule.latex().replace("{aligned}", "{align}"))


def _latex(surface: Surface) -> str:
    """The equation of a surface that is written as one formula, in LaTeX.

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
