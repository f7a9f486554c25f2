"""What a gradient tells of a surface and of a network: where the loss climbs, how steeply, how far that is true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fallline.landscape import surfaces
from fallline.lessons.lesson import Check, Evidence, Lesson, measured
from fallline.lessons.pictures import lines
from fallline.problems import digits
from fallline.training import Problem

Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Place:
    """A point of a landscape: `heights` of places [n, dimensions] around it, and its `gradient` [dimensions].

    Steps on it are counted in `units`.
    """

    heights: Callable[[Array], Array]
    point: Array
    gradient: Array
    units: float = 1.0

    def slopes(self, directions: Array, step: float) -> Array:
        """How much it climbs along directions [n, dimensions], by differences over steps to both sides."""
        ahead, behind = (self.heights(self.point + way * step * directions) for way in (1, -1))
        return np.asarray((ahead - behind) / (2 * step), np.float64)

    def error(self, step: float) -> float:
        """The tangent plane's error, in parts of what it foretells, after a step downhill of so many `units`."""
        length = np.linalg.norm(self.gradient)
        way = step * self.units * self.gradient / length
        here, there = self.heights(np.stack([self.point, self.point - way]))
        return abs(float((there - here) / (-step * self.units * length)) - 1)


def _on_rosenbrock(seed: int) -> _Place:
    surface = surfaces.rosenbrock
    draws = np.random.default_rng(seed)
    point = np.array([draws.uniform(*ends) for ends in surface.view])
    x, y = point.tolist()
    return _Place(lambda places: surface.heights(*places.T), point, np.array(surface.gradient(x, y)))


def _in_network(problem: Problem, seed: int, examples: int) -> _Place:
    """The training loss of a fresh network, in float64."""
    network = problem.build(seed).double()
    inputs, targets = (torch.as_tensor(part[:examples]) for part in (problem.train.inputs, problem.train.targets))
    names, sizes = [name for name, _ in network.named_parameters()], [p.numel() for p in network.parameters()]
    shapes = [parameter.shape for parameter in network.parameters()]

    def loss(weights: torch.Tensor) -> torch.Tensor:
        pieces = zip(names, torch.split(weights, sizes), shapes, strict=True)
        parameters = {name: piece.reshape(shape) for name, piece, shape in pieces}
        return torch.nn.functional.cross_entropy(
            torch.func.functional_call(network, parameters, (inputs.double(),)), targets
        )

    point = torch.nn.utils.parameters_to_vector(network.parameters()).detach()
    every = torch.func.vmap(loss)
    gradient = torch.func.grad(loss)(point).numpy()
    units = float(point.norm())
    return _Place(lambda places: every(torch.from_numpy(places)).numpy(), point.numpy(), gradient, units)


def steepest(
    *, seeds: int = 10, stretch: float = 1.0, short: float = 1e-3, long: float = 1.0, examples: int = 100
) -> Evidence:
    """Climb in all directions of a plane through the gradient.

    Args:
        seeds: How many points, and how many networks.
        stretch: How many times as long every second coordinate counts where the length of a direction is measured.
        short: The short step, in parts of the size of the weights; of a surface in its own units.
        long: The long step.
        examples: How many digits the network's loss is over.
    """
    problem, angles = digits(), np.linspace(-180, 180, 361)
    places = {
        "Rosenbrock's surface": [_on_rosenbrock(seed) for seed in range(seeds)],
        "digits, a fresh network": [_in_network(problem, seed, examples) for seed in range(seeds)],
    }
    checks: list[Check] = []
    turns: dict[str, Array] = {}
    for where, found in places.items():
        looks = [_Look.at(place, angles, stretch) for place in found]
        turns[where] = np.array([look.slopes for look in looks])
        errors = [[place.error(step) for step in (short, long)] for place in found]
        near, far = np.transpose(errors)
        checks += [
            measured(
                "degrees between the gradient and the direction that climbs most",
                [look.steepest for look in looks], below=1.0, condition=where, of=10,
            ),
            measured(
                "the steepest slope over the gradient's length",
                [look.largest for look in looks], above=0.999, below=1.001, condition=where, of=10,
            ),
            measured(
                "degrees between the gradient and the level set",
                [look.level for look in looks], above=89.0, below=91.0, condition=where, of=10,
            ),
            measured(
                f"relative error of the tangent plane after a step of {short:g}",
                near, below=0.1, condition=where, of=10, ratio=True,
            ),
            measured(
                f"relative error of the tangent plane after a step of {long:g}",
                far, above=0.1, condition=where, of=10, ratio=True,
            ),
        ]  # fmt: skip
    cosine = {"the gradient's length times the cosine": (angles, np.cos(np.radians(angles)))}
    return Evidence(
        f"At {seeds} random points of Rosenbrock's surface and at the initial weights of {seeds} networks "
        f"(64-32-10, ReLU; cross-entropy over {examples} digits), slopes by differences in 361 directions of a plane "
        "through the gradient; lengths of steps are in parts of the size of the weights.",
        tuple(checks),
        lines(
            "The slope in every direction, over the gradient's length",
            "degrees from the gradient",
            "slope",
            {**{where: (angles, slopes) for where, slopes in turns.items()}, **cosine},
        ),
    )


@dataclass(frozen=True)
class _Look:
    """What is seen all around: `slopes` [angles] over the gradient's length, the largest, and two angles in degrees."""

    slopes: Array
    largest: float
    steepest: float
    level: float

    @classmethod
    def at(cls, place: _Place, angles: Array, stretch: float) -> _Look:
        """Look around in the plane of the gradient and of its part along every second coordinate."""
        counts = np.where(np.arange(len(place.point)) % 2, stretch, 1.0)
        length = float(np.linalg.norm(place.gradient))
        first: Array = place.gradient / length
        second: Array = first * (np.arange(len(first)) % 2)
        second -= first * (second @ first)
        second /= np.linalg.norm(second)
        turn = np.radians(angles)[:, None]
        directions: Array = np.cos(turn) * first + np.sin(turn) * second
        directions /= np.linalg.norm(counts * directions, axis=1, keepdims=True)
        slopes = place.slopes(directions, 1e-5) / length
        best = int(slopes.argmax())
        ahead = np.flatnonzero((slopes[:-1] > 0) & (slopes[1:] <= 0))[0]
        part = slopes[ahead] / (slopes[ahead] - slopes[ahead + 1])
        return cls(
            slopes, float(slopes[best]), abs(float(angles[best])), float(angles[ahead] + part * np.diff(angles)[ahead])
        )


LESSONS = [
    Lesson(
        1,
        "The gradient",
        "The gradient is the direction of steepest ascent, its length is the steepest slope, it is orthogonal to the "
        "level set, and the tangent plane predicts small steps only.",
        "Cauchy, 1847",
        steepest,
        "stretch=3 counts every second coordinate three times as long: the gradient is then no longer the steepest "
        "direction, which is why methods that scale coordinates go elsewhere.",
    ),
]
