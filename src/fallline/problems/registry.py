"""The bundled problems by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from fallline.landscape import surfaces
from fallline.problems.characters import characters
from fallline.problems.digits import digits, digits_conv
from fallline.problems.exact import quadratic, surface_problem
from fallline.problems.measurements import breast_cancer, diabetes
from fallline.problems.photograph import photograph
from fallline.training.problem import Problem


@dataclass(frozen=True)
class Bundled:
    """A problem that comes with the package: `make()` builds it, `sentence` says what it is."""

    name: str
    sentence: str
    make: Callable[..., Problem]


_REAL = (
    Bundled("digits", "Handwritten digits of 8 x 8 pixels, for a small network.", digits),
    Bundled("digits-conv", "The same digits, for a small convolutional network.", digits_conv),
    Bundled(
        "breast-cancer", "Benign or malignant tumours from 30 measurements, by logistic regression.", breast_cancer
    ),
    Bundled("diabetes", "The course of diabetes from 10 measurements, by ill-conditioned linear regression.", diabetes),
    Bundled(
        "characters", "The next character of the Python manual from the 8 before, for a small network.", characters
    ),
    Bundled("photograph", "The colours of a photograph from the place in it, for a coordinate network.", photograph),
)
_EXACT = (
    Bundled("quadratic", "A quadratic of 20 weights with condition number 100; no data, no noise.", quadratic),
    *(Bundled(one.name, one.teaches, partial(surface_problem, one)) for one in surfaces.ALL.values()),
)

#: Names of the problems with real data.
REAL = tuple(one.name for one in _REAL)
#: The problems by name: real data first, then functions of the weights alone.
ALL: dict[str, Bundled] = {one.name: one for one in (*_REAL, *_EXACT)}


def find(name: str) -> Bundled:
    """The bundled problem of a name, whose capital letters, spaces and underscores do not matter.

    Raises LookupError with the nearest name if there is none.

    >>> find("Breast_Cancer").make().batch
    32
    """
    key = name.strip().lower().replace("_", "-").replace(" ", "-")
    if key not in ALL:
        near = difflib.get_close_matches(key, ALL, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(ALL)}"
        raise LookupError(f"there is no bundled problem '{name}'; {hint}")
    return ALL[key]
