"""A request for a picture: optimizers walking on a surface, and the scene that comes of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fallline.lab.errors import RequestError
from fallline.lab.fields import Fields
from fallline.lab.ground import Ground, read_ground
from fallline.lab.walker import Walker, read_walker
from fallline.lab.work import Ticket
from fallline.landscape import Path, path
from fallline.landscape.derivatives import derivatives_of
from fallline.landscape.surface import Point
from fallline.symbolic import Rule

STEPS, OPTIMIZERS = 5_000, 12
_RATES = ("each", "tuned", "same")
_LOUDEST, _LAST_SEED = 1e3, 2**31 - 1
#: What has taken a step already: the first compiles it, for seconds on a slow machine.
_compiled: set[tuple[Rule, tuple[tuple[str, bool], ...]]] = set()


@dataclass(frozen=True)
class Descent:
    """What to walk on, from where, how far and with what; `noise` is the standard deviation of the gradient's noise.

    `rates` says whose learning rates hold: "each" its own, "same" the first one's for all, "tuned" each its best here.
    """

    ground: Ground
    start: Point
    steps: int
    noise: float
    seed: int
    walkers: tuple[Walker, ...]
    rates: str


def read_descent(fields: Fields) -> Descent:
    """What a request's fields say; raises RequestError."""
    ground = read_ground(fields)
    surface = ground.surface
    steps = fields.whole("steps", 1, STEPS, surface.steps)
    x, y = fields.point("start", surface.start)
    descent = Descent(
        ground,
        (x, y if surface.dimensions == 2 else surface.start[1]),
        steps,
        fields.number("noise", 0, _LOUDEST, 0.0),
        fields.whole("seed", 0, _LAST_SEED, 0),
        tuple(read_walker(one, steps) for one in fields.objects("optimizers", OPTIMIZERS)),
        fields.choice("rates", _RATES, "each"),
    )
    fields.done()
    if not surface.shows(descent.start):
        raise RequestError(422, f"The field start: {descent.start} is outside the view {surface.view}; move it inside.")
    if not np.isfinite(derivatives_of(surface.function).slope(*descent.start)).all():
        raise RequestError(422, f"The field start: the surface has no slope at {descent.start}; move it.")
    if descent.rates == "same":
        first = descent.walkers[0].lr
        return replace(descent, walkers=tuple(replace(walker, lr=first) for walker in descent.walkers))
    return descent


def walk(descent: Descent, walker: Walker, ticket: Ticket) -> Path:
    """The path of one of them; raises RequestError where the ticket says to stop."""
    ticket.check()
    kernel = walker.formula, tuple((key, one) for key, one in walker.numbers.items() if isinstance(one, bool))
    if kernel not in _compiled:
        with ticket.untimed():
            _path(replace(descent, steps=1), walker)
        _compiled.add(kernel)
    return _path(descent, walker)


def _path(descent: Descent, walker: Walker) -> Path:
    return path(
        descent.ground.surface,
        walker.formula,
        descent.start,
        descent.steps,
        noise=descent.noise,
        seed=descent.seed,
        schedule=walker.factors(descent.steps),
        lr=walker.lr,
        **walker.numbers,
    )
