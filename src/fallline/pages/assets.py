"""What all pages share: files and templates, a policy, and the colours, dashes and symbols that tell arms apart."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Template


@cache
def asset(name: str) -> str:
    """One of the pages' files as text."""
    return (files("fallline.pages") / "files" / name).read_text("utf-8")


def template(name: str, **filters: Callable[..., Any]) -> Template:
    """One of the pages' files as a template that escapes everything and refuses what it is not given.

    It may import others of them.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(asset), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(filters)
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return environment.get_template(name)


def policy(scripts: Sequence[str]) -> str:
    """The policy of a page with these inline scripts.

    No request leaves the page and no other text becomes a program. Plotly makes styles as it draws; with images from
    the page alone, a style has nowhere to send anything.

    >>> policy(["1"])[:60]
    "default-src 'none'; script-src 'sha256-a4ayc/80/OGda4BO/1o/V"
    """
    hashes = (f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts)
    return (
        f"default-src 'none'; script-src {' '.join(hashes)}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def rounded(values: Iterable[float], digits: int) -> list[float | None]:
    """Numbers with so many significant digits, and None for what isn't finite.

    >>> rounded([1.2345, float("nan")], 2)
    [1.2, None]
    """
    return [float(f"{value:.{digits}g}") if math.isfinite(value) else None for value in values]


#: For a light ground and for a dark one: Okabe and Ito's for the colour-blind (2008), darkened on light pages and
#: lightened on dark ones where they would fade into the ground.
COLOURS = (
    ("#0072b2", "#56b4e9"),
    ("#c65500", "#ff8a3c"),
    ("#00805d", "#2bc79b"),
    ("#b0518a", "#e8a2cb"),
    ("#000000", "#ffffff"),
    ("#a87400", "#e69f00"),
    ("#2484bd", "#b5e1ff"),
    ("#7d7300", "#f0e442"),
)

#: Lengths of dashes and gaps, in pixels; none for a solid line.
DASHES = ((), (9, 4), (2, 3), (10, 3, 2, 3), (5, 3), (14, 3, 2, 3, 2, 3))

#: Symbols as Plotly and as Matplotlib call them, and as an outline around (0, 0) within 5 units.
SYMBOLS = (
    ("circle", "o", "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z"),
    ("square", "s", "M-4-4h8v8h-8z"),
    ("diamond", "D", "M0-5 5 0 0 5-5 0z"),
    ("triangle-up", "^", "M0-5 5 4h-10z"),
    ("triangle-down", "v", "M0 5 5-4h-10z"),
    ("pentagon", "p", "M0-5 4.8-1.5 2.9 4h-5.8L-4.8-1.5z"),
)


def colour(number: int) -> tuple[str, str]:
    """The colour of arm `number`, on light and on dark."""
    return COLOURS[number % len(COLOURS)]


def dash(number: int) -> tuple[int, ...]:
    """The dash pattern of arm `number`; with the colour it repeats after 24 arms.

    >>> colour(8) == colour(0), dash(8) == dash(0)
    (True, False)
    """
    return DASHES[number % len(DASHES)]


def symbol(number: int) -> tuple[str, str, str]:
    """The symbol of arm `number`: Plotly's name, Matplotlib's name, and its outline."""
    return SYMBOLS[number % len(SYMBOLS)]
