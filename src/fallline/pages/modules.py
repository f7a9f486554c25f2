"""The files that let a page compute paths by itself: ES modules of rules, surfaces, schedules and formulas."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from fallline import rules
from fallline.landscape import Surface, surfaces
from fallline.landscape.javascript import literal as surface_literal
from fallline.landscape.outcome import LIMITS
from fallline.pages.assets import asset
from fallline.symbolic import Rule
from fallline.symbolic.javascript import PRELUDE
from fallline.symbolic.javascript import literal as rule_literal

_FILES = ("descent.js", "schedules.js", "outcome.js", "formula.js", "math.js")


def modules(
    formulas: Mapping[str, Rule] = rules.ALL, grounds: Iterable[Surface] = tuple(surfaces.ALL.values())
) -> dict[str, str]:
    """The text of each file by its name; a page imports them from one folder, under a policy with `script-src 'self'`.

    `rules.js` exports `rules` and `surfaces.js` `surfaces`, objects by name; `descent.js` exports `path`,
    `schedules.js` `schedules`, and `formula.js` `formula`, which reads what a person types by math.js, from `mathjs()`.
    `outcome.js` exports `outcome`, which says what became of a path, and `limits.js` the `limits` that it asks for.

    Args:
        formulas: The rules by the names that the page knows them by.
        grounds: The surfaces.

    Raises:
        RuleError: A rule can't be traced.
        TypeError: A surface can't be written as one formula.

    >>> sorted(modules())
    ['descent.js', 'formula.js', 'limits.js', 'math.js', 'outcome.js', 'rules.js', 'schedules.js', 'surfaces.js']
    """
    texts = {name: rule_literal(rule.trace()) for name, rule in formulas.items()}
    lie = {surface.name: surface_literal(surface.function, surface.told) for surface in grounds}
    written = {"rules.js": f"{PRELUDE}{_object('rules', texts)}", "surfaces.js": _object("surfaces", lie)}
    written["limits.js"] = _object("limits", {name: _limit(rule) for name, rule in formulas.items() if rule in LIMITS})
    return written | {name: asset(name) for name in _FILES}


def _limit(rule: Rule) -> str:
    """The limit of stability as a formula for people, and its factor as a function of hyperparameters."""
    import sympy

    formula, factor = LIMITS[rule]
    text = sympy.jscode(factor(sympy.Symbol("momentum")))
    return f"{{formula: {json.dumps(formula)}, factor: ({{momentum = 0}}) => {text}}}"


def _object(name: str, parts: Mapping[str, str]) -> str:
    return (
        f"export const {name} = {{\n" + "".join(f"{json.dumps(key)}: {text},\n" for key, text in parts.items()) + "};\n"
    )
