"""A slice: the loss of a user's model on a line or a plane through its weights, from the arguments to the record."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from fallline._asked import number, whole
from fallline._asked import seed as as_seed
from fallline.landscape.slice_axes import PrincipalAxes, filter_normalised, principal_axes
from fallline.landscape.slice_losses import (
    Array,
    Model,
    Ray,
    grid_places,
    lanes_for_grid,
    losses_at,
    states_of,
    with_models,
)
from fallline.landscape.surface import View
from fallline.training import Lanes, Problem, Split, make_lanes, obstacle_to_batching, seeded

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

    Frozen parameters keep each model's values, and passes are in evaluation mode.

    `axes="random"` goes through each model along Gaussian directions, each filter rescaled to the norm of that model's
    own; so equal networks of different weights, such as a ReLU network with one layer scaled up and the next down, have
    equal slices, and widths of minima can be compared (Li et al., Visualizing the Loss Landscape of Neural Nets, 2018).
    `axes="principal"` goes along the principal axes of the weights of two models or more, such as the checkpoints of
    one run, through the last of them: with two the line, with three the plane through all. Running statistics of batch
    norm then move with the weights, but not beyond the models' own range.

    Args:
        problem: The problem whose loss it is.
        models: Modules that the problem's model function builds, or their state_dicts; they are only read.
        axes: "random" or "principal".
        dimensions: 1 for a line, 2 for a plane.
        points: How many along each axis, an odd number; 51, or 25 in two dimensions, unless given.
        reach: Where they end: in filter norms for random axes (1 unless given), as a multiple of the way from the
            middle to the outermost model for principal ones (1.25).
        split: The split that the examples are of.
        examples: How many of them are taken, always the same; all unless given.
        seed: What draws the random directions.

    Returns:
        The losses, and all that must be known to read them.

    Raises:
        TypeError, ValueError: It can't be sliced; the sentence names the argument.

    >>> from fallline.problems import digits
    >>> problem = digits()
    >>> around = slice(problem, problem.build(0), examples=100)
    >>> around.losses.shape, np.allclose(around.losses[0, 25], around.model_losses[0])
    ((1, 51), True)
    >>> slice(problem, [problem.build(seed) for seed in range(3)], axes="principal", dimensions=2, points=5)
    Slice('digits', principal axes, 5 x 5 points, 3 models)
    """
    check_choice("axes", axes, get_args(Axes))
    check_choice("dimensions", dimensions, (1, 2))
    points = _POINTS[dimensions] if points is None else whole("points", points, 3)
    if points % 2 == 0:
        raise ValueError(f"points must be an odd number, so that one is in the middle; got {points}")
    reach = _REACH[axes] if reach is None else number("reach", reach, above=0)
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
            distances=np.zeros(len(states)) if principal is None else principal.distances.cpu().numpy(),
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


Axes = Literal["random", "principal"]


@dataclass(frozen=True, eq=False, repr=False)
class Slice:
    """The loss along one axis or two; NaN or infinite where the network's is.

    Attributes:
        problem: The problem's name.
        axes: "random" or "principal".
        seed: What drew the random directions.
        split: The split that the losses are of.
        examples: How many examples of it, everywhere the same.
        offsets: The places [points] along each axis, in filter norms from the model for random axes, in distances
            between weights from the last model for principal ones.
        losses: [curves, points] in one dimension and [maps, rows, columns] in two, the lowest offset of the second axis
            first: one for each model for random axes, a single one through all models for principal ones.
        coordinates: The models' own places [models, dimensions]; for principal axes of more than 2 or 3 models they lie
            beside the line or plane, except the last.
        model_losses: The models' own losses [models].
        shares: The principal axes' parts of the variance of the weights, None for random ones.
        distances: How far each model [models] lies beside the line or plane, whose losses are its own only at 0.
    """

    problem: str
    axes: Axes
    seed: int
    split: str
    examples: int
    offsets: tuple[Array, ...]
    losses: Array
    coordinates: Array
    model_losses: Array
    shares: tuple[float, ...] | None
    distances: Array

    @property
    def dimensions(self) -> int:
        """Number of axes, 1 or 2."""
        return len(self.offsets)

    @property
    def view(self) -> View:
        """The ends of both axes, as a surface has them; in one dimension y plays no part."""
        ends = [(float(offsets[0]), float(offsets[-1])) for offsets in self.offsets]
        return ends[0], ends[1] if self.dimensions == 2 else (-1.0, 1.0)

    @property
    def heights(self) -> Array:
        """The losses as grids [maps, rows, columns] over `view`; in one dimension all rows are the same."""
        return self.losses if self.dimensions == 2 else np.repeat(self.losses[:, None, :], 2, axis=1)

    @property
    def description(self) -> str:
        """How the slice was made, in words."""
        data = f"Loss of {self.problem!r} on {self.examples} examples of {self.split}, in evaluation mode"
        if self.shares is None:
            return (
                f"{data}; the running statistics of batch norm stay. Random axes drawn by seed {self.seed}, the same "
                "numbers for every model, each filter rescaled to the norm of the model's own; parameters of one "
                "dimension stay. Offsets count filter norms."
            )
        shares = " and ".join(f"{share:.1%}" for share in self.shares)
        aside = self.distances.max()
        beside = f"; the others lie up to {aside:.3g} beside it, where losses are not theirs" if aside else ""
        return (
            f"{data}; the running statistics of batch norm move with the weights, within the models' own range. "
            f"Principal axes of {len(self.coordinates)} models, with {shares} of the variance of their weights, "
            f"through the last model{beside}. Offsets are distances between weights."
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data; what is not a finite number becomes None."""
        return {**{name: plain(value) for name, value in vars(self).items()}, "description": self.description}

    def __repr__(self) -> str:
        size = " x ".join(str(len(offsets)) for offsets in self.offsets)
        return f"Slice({self.problem!r}, {self.axes} axes, {size} points, {len(self.coordinates)} models)"


def plain(value: Any) -> Any:
    """Arrays and tuples as lists; what is not a finite number becomes None."""
    if isinstance(value, np.ndarray | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def examples_of(problem: Problem, name: str, count: int | None) -> Split:
    """A split, or so many examples of it, always the same.

    Raises TypeError for what is no problem, ValueError for a split or a number that is not there.
    """
    if not isinstance(problem, Problem):  # a stream, for one, can be seen only once
        raise TypeError(
            f"problem: must be a fallline.Problem, whose examples can be evaluated again; got {type(problem).__name__}."
        )
    splits = problem.splits()
    check_choice("split", name, tuple(splits))
    part = splits[name]
    if count is None:
        return part
    count = whole("examples", count, 1, len(part))
    # Drawn by a seed of their own, so that other directions are measured on the same examples.
    rows = torch.randperm(len(part), generator=torch.Generator().manual_seed(0))[:count].sort().values
    return Split(part.inputs[rows], part.targets[rows])


def check_choice(name: str, value: object, choices: Sequence[object]) -> None:
    """Refuse what is not among the choices."""
    if value not in choices or isinstance(value, bool):
        raise ValueError(f"{name}: must be {' or '.join(map(repr, choices))}; got {value!r}.")


def check_finite(weights: Sequence[Tensor]) -> None:
    """Refuse models, stacked [models, ...] tensor by tensor, that have diverged."""
    finite = torch.stack([stacked.isfinite().reshape(len(stacked), -1).all(1) for stacked in weights]).all(0)
    if not finite.all():
        place = int(finite.logical_not().nonzero()[0])
        raise ValueError(
            f"models: number {place}, counted from 0, has weights that are NaN or infinite; give one from before its "
            "run diverged."
        )
