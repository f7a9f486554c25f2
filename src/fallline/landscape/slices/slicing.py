"""A slice through the loss of a user's model, from its arguments to its record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from fallline.landscape.slices.arguments import (
    as_points,
    as_reach,
    as_seed,
    check_choice,
    check_finite,
    check_problem,
    examples_of,
)
from fallline.landscape.slices.directions import filter_normalised
from fallline.landscape.slices.grid import Array, Ray, grid_places, lanes_for_grid, losses_at
from fallline.landscape.slices.models import Model, states_of, with_models
from fallline.landscape.slices.principal import PrincipalAxes, principal_axes
from fallline.landscape.slices.record import Axes, Slice
from fallline.training import Lanes, Problem, make_lanes, obstacle_to_batching
from fallline.training.generators import seeded

_POINTS = {1: 51, 2: 25}
_REACH: dict[Axes, float] = {"random": 1.0, "principal": 1.25}


def slice(
    problem: Problem,
    models: Model | Sequence[Model],
    *,
    axes: Axes = "random",
    dimensions: Literal[1, 2] = 1,
    points: int | None = None,
    reach: float | None = None,
    split: str = "train",
    examples: int | None = None,
    seed: int = 0,
) -> Slice:
    """Evaluate the loss along a line, or on a plane, through the trainable weights of one model or several.

    `models` are modules that the problem's model function builds, or their state_dicts; they are only read. Frozen
    parameters keep each model's values, and passes are in evaluation mode.

    `axes="random"` goes through each model along Gaussian directions, each filter rescaled to the norm of that model's
    own; so equal networks of different weights, such as a ReLU network with one layer scaled up and the next down, have
    equal slices, and widths of minima can be compared (Li et al., Visualizing the Loss Landscape of Neural Nets, 2018).
    `axes="principal"` goes along the principal axes of the weights of two models or more, such as the checkpoints of
    one run, through the last of them: with two the line, with three the plane through all. Running statistics of batch
    norm then move with the weights, but not beyond the models' own range.

    `points`, odd, counts those along each axis: 51, or 25 in two dimensions. `reach` is where they end: in filter norms
    for random axes (1), as a multiple of the way from the middle to the outermost model for principal ones (1.25).
    `examples` of the `split`, always the same, are taken, or all of them. `seed` draws the directions.

    Raises TypeError or ValueError, naming the argument, for what can't be sliced.

    >>> from fallline.problems import digits
    >>> problem = digits()
    >>> around = slice(problem, problem.build(0), examples=100)
    >>> around.losses.shape, np.allclose(around.losses[0, 25], around.model_losses[0])
    ((1, 51), True)
    >>> slice(problem, [problem.build(seed) for seed in range(3)], axes="principal", dimensions=2, points=5)
    Slice('digits', principal axes, 5 x 5 points, 3 models)
    """
    check_problem(problem)
    check_choice("axes", axes, get_args(Axes))
    check_choice("dimensions", dimensions, (1, 2))
    points = _POINTS[dimensions] if points is None else as_points(points)
    reach = _REACH[axes] if reach is None else as_reach(reach)
    seed = as_seed(seed)
    part = examples_of(problem, split, examples)
    states = states_of(models)
    if axes == "principal" and len(states) <= dimensions:
        raise ValueError(
            f"models: principal axes of {dimensions} dimension{'s' if dimensions > 1 else ''} need at least "
            f"{dimensions + 1} models, got {len(states)}; give more, or take axes='random'."
        )
    given = with_models(problem, states)
    with seeded(0, given.training_device):  # whatever a model or a loss draws
        batched = obstacle_to_batching(given, 0) is None
        own = make_lanes(given, range(len(states)), batched=batched)
        check_finite(own.parameters)
        principal = principal_axes(own.parameters, dimensions) if axes == "principal" else None
        offsets, coordinates = _layout(principal, len(states), dimensions, points, reach)
        places = grid_places(offsets)
        lanes = lanes_for_grid(given, own, len(places), batched=batched)
        found = [losses_at(places, rays, lanes, part) for rays in _cuts(own, principal, dimensions, seed)]
        return Slice(
            problem=problem.name,
            axes=axes,
            seed=seed,
            split=split,
            examples=len(part),
            offsets=offsets,
            losses=np.stack(found).reshape(-1, *[points] * dimensions),
            coordinates=coordinates,
            model_losses=np.asarray(own.evaluate(part).loss.numpy(), np.float64),
            shares=None if principal is None else principal.shares,
        )


def _layout(
    principal: PrincipalAxes | None, models: int, dimensions: int, points: int, reach: float
) -> tuple[tuple[Array, ...], Array]:
    """The offsets of the points along each axis, and the models' coordinates."""
    coordinates = np.zeros((models, dimensions)) if principal is None else principal.coordinates.cpu().numpy()
    half = points // 2
    steps = reach * np.arange(-half, half + 1) / half  # exactly 0 in the middle
    if principal is None:
        return (steps,) * dimensions, coordinates
    low, high = coordinates.min(0), coordinates.max(0)
    return tuple((low + high)[k] / 2 + (high - low)[k] / 2 * steps for k in range(dimensions)), coordinates


def _cuts(own: Lanes, principal: PrincipalAxes | None, dimensions: int, seed: int) -> Iterator[list[Ray]]:
    """The rays of each curve or map."""
    if principal is not None:
        moving = [Ray(stacked[-1], principal.along(stacked)) for stacked in own.parameters]
        yield [*moving, *(_bounded(buffer, principal) for buffer in own.buffers)]
        return
    for model in range(len(own)):
        weights = [stacked[model] for stacked in own.parameters]
        directions = filter_normalised(weights, dimensions, seed)
        if not any(direction.any() for direction in directions):
            raise ValueError(
                f"models: number {model}, counted from 0, has no filter that is not zero, as parameters of one "
                "dimension stay in random directions; give several models and axes='principal'."
            )
        yield [*map(Ray, weights, directions), *(Ray(buffer[model]) for buffer in own.buffers)]


def _bounded(buffer: Tensor, principal: PrincipalAxes) -> Ray:
    """What isn't trained moves with the weights, if it differs; within bounds, or a variance might become negative."""
    if not buffer.is_floating_point() or torch.equal(buffer, buffer[-1].expand_as(buffer)):
        return Ray(buffer[-1])
    return Ray(buffer[-1], principal.along(buffer), buffer.amin(0), buffer.amax(0))
