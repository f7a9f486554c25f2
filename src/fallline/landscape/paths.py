"""The path that an update rule takes on a surface, with all that led it there."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fallline import rules
from fallline._asked import number, whole
from fallline.landscape.calculus import derivatives_of
from fallline.landscape.outcome import Outcome, outcome_of
from fallline.landscape.surface import Point, Surface
from fallline.optim import hyperparameters as of_rule
from fallline.optim.generic import Optimizer
from fallline.schedules import Schedule
from fallline.symbolic import Rule

Array = NDArray[np.float64]

#: Draws a path; imported when first asked for, by its name alone, since a path knows no drawing.
_PLAYER = "fallline.pages.player"


@dataclass(frozen=True, eq=False)
class Path:
    """A rule's path on a surface; NaN from where it ran off to infinity.

    Attributes:
        surface: What it lies on.
        rule: What was followed.
        hyperparameters: All of the rule's, the learning rate before a schedule.
        points: The places [steps + 1, 2], the start first.
        losses: The surface's own heights [steps + 1] there.
        gradients: What the rule saw [steps + 1, 2], noise and all.
        states: Those of the rule's states that are tensors, by name, each [steps + 1, 2].
        effective_rates: What each coordinate's gradient was multiplied by in each step, [steps, 2]; NaN where it was 0.
        outcome: What became of it.
    """

    surface: Surface
    rule: Rule
    hyperparameters: Mapping[str, Any]
    points: Array
    losses: Array
    gradients: Array
    states: dict[str, Array]
    effective_rates: Array
    outcome: Outcome

    @property
    def description(self) -> str:
        """What became of it, in words."""
        return self.outcome.sentence

    def _repr_html_(self) -> str:
        """The path in the descent player, as a notebook shows it."""
        frame: str = importlib.import_module(_PLAYER).path_frame(self)
        return frame


def path(
    surface: Surface,
    rule: Rule | str,
    start: Point | None = None,
    steps: int | None = None,
    *,
    noise: float = 0.0,
    seed: int = 0,
    schedule: Schedule | None = None,
    **hyperparameters: Any,
) -> Path:
    """Follow a rule on a surface for a number of steps.

    The rule runs by `fallline.Optimizer` in float64 on the exact gradient.

    Args:
        surface: What to descend on.
        rule: A rule, or the name of one.
        start: Where to begin, (x, y); the surface's own start unless given.
        steps: How many steps to take; the surface's own number unless given.
        noise: The standard deviation of normal numbers that are added to the gradient, drawn anew for each step.
        seed: What draws them; of one seed they are the same for every rule.
        schedule: What multiplies the learning rate in each step.
        **hyperparameters: The rule's.

    Returns:
        The path, with all that led it there.

    Raises:
        LookupError: No rule has the name.
        ValueError: The start is not two finite numbers, there are no steps, the noise is below 0, or there is a
            schedule for a rule without a learning rate.
        TypeError: The function can't be differentiated, or the rule has no such hyperparameter.

    >>> from fallline.landscape import surfaces
    >>> path(surfaces.ravine, "momentum", lr=0.01).description
    'reached (0, 0) at step 84'
    >>> path(surfaces.ravine, "sgd", lr=0.041).description
    'left the map at step 11 because the learning rate, 0.041, is over 2/curvature = 0.04'
    >>> from fallline.schedules import cosine
    >>> path(surfaces.ravine, "lion", lr=0.2, schedule=cosine(150)).description
    'reached (0, 0) at step 105'
    """
    found = rules.find(rule) if isinstance(rule, str) else rule
    begin, count = _checked(surface.start if start is None else start, surface.steps if steps is None else steps)
    place = torch.tensor(begin, dtype=torch.float64)
    place.grad = torch.zeros_like(place)
    optimizer = Optimizer([place], found, **hyperparameters)
    (group,) = optimizer.param_groups
    values = of_rule.read(found, group)
    rates = _rates(found, values.get("lr"), schedule, count)
    errors = number("noise", noise) * np.random.default_rng(seed).standard_normal((count + 1, 2))
    errors[:, surface.dimensions :] = 0  # y may play no part
    points, gradients = (np.full((count + 1, 2), np.nan) for _ in range(2))
    losses = np.full(count + 1, np.nan)
    states = {spec.name: np.full((count + 1, 2), np.nan) for spec in found.tensor_states}
    for spec in found.tensor_states:
        states[spec.name][0] = spec.fill
    slope = derivatives_of(surface.function).slope
    here, gradient = place.numpy(), place.grad.numpy()
    for step in range(count + 1):
        loss, *gradient[:] = slope(*here.tolist())
        gradient += errors[step]
        points[step], losses[step], gradients[step] = here, loss, gradient
        if step == count or not (math.isfinite(loss) and np.isfinite(gradient).all()):
            break
        if schedule is not None:
            group["lr"] = rates[step]
        optimizer.step()
        for name, state in states.items():
            state[step + 1] = optimizer.state[place][name].numpy()
    with np.errstate(all="ignore"):
        effective = np.where(gradients[:-1] == 0, np.nan, -np.diff(points, axis=0) / gradients[:-1])
    outcome = outcome_of(surface, points, found, values, rates)
    return Path(surface, found, values, points, losses, gradients, states, effective, outcome)


def _rates(rule: Rule, lr: float | None, schedule: Schedule | None, steps: int) -> Array:
    """The learning rates [steps]; NaN for a rule that has none."""
    if schedule is None:
        return np.full(steps, np.nan if lr is None else lr)
    if lr is None:
        raise ValueError(f"schedule: the rule '{rule.name}' has no learning rate to multiply; leave it out.")
    return schedule.curve(steps, lr)


def _checked(start: Point, steps: int) -> tuple[list[float], int]:
    numbers = [float(value) for value in start]
    if len(numbers) != 2 or not all(map(math.isfinite, numbers)):
        raise ValueError(f"start must be two finite numbers, (x, y); got {start!r}.")
    return numbers, whole("steps", steps)
