"""The answers to a request for a picture: its scene, with rates tuned if asked for, and a program that draws it."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

import numpy as np

from fallline import rules
from fallline.lab.descent import Descent, Walker, read_descent, walk
from fallline.lab.ground import Ground, drawable
from fallline.lab.requests import Fields
from fallline.lab.work import Ticket
from fallline.pages.assets import colour
from fallline.pages.player import Scene, message, player, scene_of, trajectory_of


def picture(fields: Fields, ticket: Ticket) -> dict[str, Any]:
    """The scene as the player's `update` takes it, the learning rates, and the milliseconds that it took.

    With "fragment": true, the player's HTML of that scene as well, for a page that has no player yet.
    """
    fragment, asked = fields.truth("fragment"), read_descent(fields)
    began = time.perf_counter()
    descent = _settled(asked, ticket)
    scene = _scene(descent, ticket)
    return {
        "scene": message(scene),
        **({"fragment": str(player(scene))} if fragment else {}),
        "rates": [{"name": walker.name, "lr": walker.lr} for walker in descent.walkers],
        "milliseconds": round(1000 * (time.perf_counter() - began), 1),
    }


def code(fields: Fields, ticket: Ticket) -> dict[str, Any]:
    """The program that walks a picture's paths, from the picture's own fields."""
    fields.truth("fragment")
    return {"python": _program(_settled(read_descent(fields), ticket))}


def _scene(descent: Descent, ticket: Ticket) -> Scene:
    paths = [walk(descent, walker, ticket) for walker in descent.walkers]
    scene = scene_of(descent.ground.surface, paths, start_movable=True)
    named = [trajectory_of(path, walker.name) for path, walker in zip(paths, descent.walkers, strict=True)]
    return replace(scene, heights=drawable(np.asarray(scene.heights)), trajectories=named)


_PER_DECADE, _KEPT = 4, 512
#: What was found for a descent without its optimizers, and one of them; forgotten when there is too much of it.
_found: dict[tuple[Descent, Walker], float] = {}


def _settled(descent: Descent, ticket: Ticket) -> Descent:
    """The same with the rates that it is walked with: if tuned, each the best of a grid, four to a decade of its range.

    They are tuned from the surface's own start, so that they stay while the start is moved. The best is the one
    whose loss, on average over the last tenth of the steps, is lowest; a path that leaves the map has lost.
    """
    if descent.rates != "tuned":
        return descent
    here = replace(descent, walkers=(), start=descent.ground.surface.start)
    return replace(descent, walkers=tuple(replace(one, lr=_best(here, one, ticket)) for one in descent.walkers))


def _best(descent: Descent, walker: Walker, ticket: Ticket) -> float:
    key = (descent, replace(walker, lr=0.0))
    if (known := _found.get(key)) is not None:
        return known
    scores = {lr: _score(descent, replace(walker, lr=lr), ticket) for lr in grid(walker.rule)}
    if len(_found) >= _KEPT:
        _found.clear()
    best = _found[key] = min(scores, key=lambda lr: scores[lr])
    return best


def grid(rule: str) -> list[float]:
    """The learning rates to try, with two digits.

    >>> grid("adam")[:6]
    [0.0001, 0.00018, 0.00032, 0.00056, 0.001, 0.0018]
    """
    low, high = rules.RECORDS[rule].surface_lrs
    return [float(f"{lr:.2g}") for lr in np.geomspace(low, high, round(_PER_DECADE * math.log10(high / low)) + 1)]


def _score(descent: Descent, walker: Walker, ticket: Ticket) -> float:
    path = walk(descent, walker, ticket)
    last = path.losses[-max(1, len(path.losses) // 10) :]
    score = float(last.mean())
    return score if path.outcome.ending != "left" and math.isfinite(score) else math.inf


def _program(descent: Descent) -> str:
    """The program's text: it walks the same paths, prints where each of them ends and draws them by Matplotlib.

    Whatever a person wrote stands in it as a quoted string.
    """
    paths = "\n".join(f"    ({walker.name!r}, {_path(descent, walker)})," for walker in descent.walkers)
    colours = [colour(number)[0] for number in range(len(descent.walkers))]
    drawn, points = _ON_CURVE if descent.ground.surface.dimensions == 1 else _ON_MAP
    return f"""import matplotlib.pyplot as plt
import numpy as np

{_imports(descent)}

surface = {_surface(descent.ground)}
paths = [
{paths}
]
for name, found in paths:
    x, y = found.points[-1]
    print(f"{{name}}: ({{x:.6g}}, {{y:.6g}}), loss {{found.losses[-1]:.6g}}, {{found.description}}")

{drawn}
for (name, found), colour in zip(paths, {colours!r}):
    axes.plot({points}, ".-", color=colour, markersize=3, linewidth=1.2, label=name)
axes.legend()
plt.show()
"""


_ON_MAP = (
    """x, y = np.meshgrid(*(np.linspace(*ends, 181) for ends in surface.view))
above = np.ma.masked_invalid(surface.heights(x, y))
above -= above.min()
figure, axes = plt.subplots(layout="constrained")
axes.contourf(x, y, np.log10(above + 1e-6 * (above.max() or 1)), levels=12, cmap="Blues_r", alpha=0.5)
axes.scatter(*np.reshape(surface.minima, (-1, 2)).T, marker="+", color="black", s=90, zorder=3)
axes.set(title=surface.name, xlabel="x", ylabel="y", xlim=surface.view[0], ylim=surface.view[1])""",
    "*found.points.T",
)
_ON_CURVE = (
    """x = np.linspace(*surface.view[0], 1001)
heights = surface.heights(x, np.zeros_like(x))
room = 0.05 * np.ptp(heights[np.isfinite(heights)])
figure, axes = plt.subplots(layout="constrained")
axes.plot(x, heights, color="0.6")
axes.set(title=surface.name, xlabel="x", ylabel="loss", xlim=surface.view[0])
axes.set_ylim(np.nanmin(heights) - room, np.nanmax(heights) + room)""",
    "found.points[:, 0], found.losses",
)


def _imports(descent: Descent) -> str:
    schedules = ", schedules" if any(walker.schedule for walker in descent.walkers) else ""
    landscape = "path, surfaces" if descent.ground.formula is None else "Formula, Surface, path"
    return f"from fallline import rules{schedules}\nfrom fallline.landscape import {landscape}"


def _surface(ground: Ground) -> str:
    surface = ground.surface
    if ground.formula is None:
        return f"surfaces.{surface.name.replace('-', '_')}"
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
