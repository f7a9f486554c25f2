"""A Python program that reproduces a picture."""

from __future__ import annotations

from fallline.lab.descent import Descent
from fallline.lab.ground import Ground
from fallline.lab.walker import Walker
from fallline.landscape import surfaces


def program(descent: Descent) -> str:
    """The program's text: it walks the same paths with Fallline alone and prints where each of them ends.

    Whatever a person wrote stands in it as a quoted string.
    """
    paths = "\n".join(f"    ({walker.name!r}, {_path(descent, walker)})," for walker in descent.walkers)
    return f"""{_imports(descent)}

surface = {_surface(descent.ground)}
paths = [
{paths}
]
for name, found in paths:
    x, y = found.points[-1]
    print(f"{{name}}: ({{x:.6g}}, {{y:.6g}}), loss {{found.losses[-1]:.6g}}, {{found.description}}")
"""


def _imports(descent: Descent) -> str:
    schedules = ", schedules" if any(walker.schedule for walker in descent.walkers) else ""
    lines = [f"from fallline import rules{schedules}"]
    if descent.ground.formula is None:
        lines.append("from fallline.landscape import path, surfaces")
    else:
        lines += ["from fallline.landscape import Surface, path", "from fallline.landscape.formula import Formula"]
    return "\n".join(lines)


def _surface(ground: Ground) -> str:
    surface = ground.surface
    if ground.formula is None:
        return f"surfaces.{next(name for name in surfaces.__all__ if getattr(surfaces, name) is surface)}"
    told = ", ".join(f"{key}={getattr(surface, key)!r}" for key in ("view", "start", "minima", "dimensions"))
    return f"Surface({ground.name!r}, Formula({ground.formula!r}), {told})"


def _path(descent: Descent, walker: Walker) -> str:
    rule = f"rules.{walker.rule}"
    schedule = walker.factors(descent.steps)
    arguments = [
        "surface",
        f"rules.decoupled_decay({rule})" if walker.decays else rule,
        repr(descent.start),
        repr(descent.steps),
        *([f"noise={descent.noise!r}", f"seed={descent.seed}"] if descent.noise else []),
        *([] if schedule is None else [f"schedule=schedules.{schedule!r}"]),
        *(f"{key}={value!r}" for key, value in {"lr": walker.lr, **walker.numbers}.items()),
    ]
    return f"path({', '.join(arguments)})"
