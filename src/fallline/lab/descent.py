"""A request for a picture: a surface, and optimizers walking on it, each a rule with its numbers and schedule."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from fallline import rules, schedules
from fallline.lab.ground import Ground, read_ground
from fallline.lab.requests import Fields, RequestError
from fallline.lab.work import Ticket
from fallline.landscape import Path, Point, derivatives_of, path
from fallline.optim import hyperparameters as of_rule
from fallline.schedules import Schedule
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


Plain = tuple[tuple[str, Any], ...]
_LARGEST_RATE, _LARGEST_DECAY = 1e6, 1e3

#: Schedules by name: each with its parameters' defaults, and how it is made of them and the number of steps.
SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "linear": lambda steps, end=0.0: schedules.linear(steps, end),
    "cosine": lambda steps, floor=0.0: schedules.cosine(steps, floor),
    "exponential": lambda steps, factor=0.98: schedules.exponential(factor),
    "inverse_time": lambda steps, rate=0.1: schedules.inverse_time(rate),
    "inverse_square_root": lambda steps, k=1.0: schedules.inverse_square_root(k),
    "staircase": lambda steps, every=50, factor=0.5: schedules.staircase(every, factor),
    "one_cycle": lambda steps, rise=0.3: schedules.one_cycle(steps, rise),
}


@dataclass(frozen=True)
class Walker:
    """A rule by name, the hyperparameters that were given, a schedule by name with its parameters, weight decay."""

    rule: str
    lr: float
    hyperparameters: Plain = ()
    schedule: str | None = None
    parameters: Plain = ()
    decay: float | None = None

    @property
    def decays(self) -> bool:
        """Whether decay is put beside a rule that has none of its own."""
        return bool(self.decay) and "weight_decay" not in rules.find(self.rule).hyperparameters

    @property
    def formula(self) -> Rule:
        """The rule, with decay beside its step if it is to have one and has none of its own."""
        return _decayed(self.rule) if self.decays else rules.find(self.rule)

    @property
    def numbers(self) -> dict[str, Any]:
        """The hyperparameters without the learning rate."""
        takes_decay = self.decay is not None and "weight_decay" in self.formula.hyperparameters
        return {**dict(self.hyperparameters), **({"weight_decay": self.decay} if takes_decay else {})}

    def factors(self, steps: int) -> Schedule | None:
        """The schedule over so many steps."""
        return None if self.schedule is None else SCHEDULES[self.schedule](steps, **dict(self.parameters))

    @property
    def name(self) -> str:
        """The rule, and what differs from its defaults."""
        said = [f"{key} {value:g}" for key, value in self.hyperparameters]
        said += [] if self.schedule is None else [self.schedule.replace("_", " ")]
        said += [f"decay {self.decay:g}"] if self.decay else []
        return ", ".join([self.rule.replace("_", " "), *said])


def read_walker(fields: Fields, steps: int) -> Walker:
    """What one of a request's optimizers says; raises RequestError for what the rule or the schedule can't take."""
    try:
        rule = rules.find(fields.text("rule"))
    except LookupError as error:
        raise RequestError(422, f"The field rule: {error.args[0]}.") from None
    name = rules.name_of(rule)
    walker = Walker(
        name,
        fields.number("lr", 0, _LARGEST_RATE),
        _hyperparameters(fields.object("hyperparameters"), rule),
        *_schedule(fields, steps),
        fields.number("decay", 0, _LARGEST_DECAY) if fields.has("decay") else None,
    )
    fields.done()
    try:
        numbers = of_rule.spread(walker.formula, walker.numbers)
        of_rule.check(walker.formula, {**walker.formula.hyperparameters, "lr": walker.lr, **numbers})
    except (TypeError, ValueError) as error:
        raise RequestError(422, f"The optimizer {name}: {error}.") from None
    return walker


def _hyperparameters(fields: Fields, rule: Rule) -> Plain:
    """The numbers and truth values that were given and are not the rule's own."""
    own = {key: value for key, value in rule.hyperparameters.items() if key != "lr"}
    given = {
        key: fields.truth(key) if isinstance(default, bool) else fields.number(key)
        for key, default in own.items()
        if fields.has(key)
    }
    fields.done()
    return tuple(sorted((key, value) for key, value in given.items() if value != own[key]))


def _schedule(fields: Fields, steps: int) -> tuple[str | None, Plain]:
    given = fields.object("schedule")
    name = given.choice("name", ("constant", *SCHEDULES), "constant")
    if name == "constant":
        given.done()
        return None, ()
    defaults = schedule_parameters(name)
    chosen = {
        key: given.whole(key, 1, 10**6, value) if isinstance(value, int) else given.number(key, default=value)
        for key, value in defaults.items()
    }
    given.done()
    try:
        SCHEDULES[name](steps, **chosen)
    except ValueError as error:
        raise RequestError(422, f"The schedule {name}: {error}.") from None
    return name, tuple((key, value) for key, value in chosen.items() if value != defaults[key])


def schedule_parameters(name: str) -> dict[str, float]:
    """A schedule's parameters beside the number of steps, with their defaults.

    >>> schedule_parameters("staircase")
    {'every': 50, 'factor': 0.5}
    """
    return {key: one.default for key, one in list(inspect.signature(SCHEDULES[name]).parameters.items())[1:]}


@lru_cache(maxsize=64)
def _decayed(rule: str) -> Rule:
    return rules.decoupled_decay(rules.find(rule))
