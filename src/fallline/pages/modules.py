"""The files that let a page compute paths by itself: ES modules of rules, surfaces, schedules and formulas."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from fallline import rules
from fallline.landscape import Surface, surfaces
from fallline.landscape.javascript import literal as surface_literal
from fallline.pages.assets import asset
from fallline.symbolic import Rule
from fallline.symbolic.javascript import PRELUDE
from fallline.symbolic.javascript import literal as rule_literal


def modules(
    formulas: Mapping[str, Rule] = rules.ALL, grounds: Iterable[Surface] = tuple(surfaces.ALL.values())
) -> dict[str, str]:
    """The text of each file by its name; a page imports them from one folder, under a policy with `script-src 'self'`.

    `rules.js` exports `rules` and `surfaces.js` `surfaces`, objects by name; `descent.js` exports `path`,
    `schedules.js` `schedules`, and `formula.js` `formula`, which reads what a person types by math.js, from `mathjs()`.

    Args:
        formulas: The rules by the names that the page knows them by.
        grounds: The surfaces.

    Raises:
        RuleError: A rule can't be traced.
        TypeError: A surface can't be written as one formula.

    >>> sorted(modules())
    ['descent.js', 'formula.js', 'math.js', 'rules.js', 'schedules.js', 'surfaces.js']
    """
    texts = {name: rule_literal(rule.trace()) for name, rule in formulas.items()}
    lie = {surface.name: surface_literal(surface.function, surface.told) for surface in grounds}
    written = {"rules.js": f"{PRELUDE}{_object('rules', texts)}", "surfaces.js": _object("surfaces", lie)}
    return written | {name: asset(name) for name in ("descent.js", "schedules.js", "formula.js", "math.js")}


def _object(name: str, parts: Mapping[str, str]) -> str:
    return (
        f"export const {name} = {{\n" + "".join(f"{json.dumps(key)}: {text},\n" for key, text in parts.items()) + "};\n"
    )
