"""Poor minima, and whether the noise of small batches leads out of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fallline import _asked
from fallline.landscape import Path, Point, path, surfaces
from fallline.lessons.lesson import Check, Evidence, Lesson, exact, measured
from fallline.lessons.populations import lane, watched_on_training
from fallline.pages.player import Scene, scene_of, trajectory_of
from fallline.problems import digits
from fallline.training import Problem, lanes_for, torch_threads, train
from fallline.training.updates import LaneUpdate

Array = NDArray[np.float64]

_SURFACE, _RATE, _STEPS, _REST = surfaces.three_hump_camel, 0.05, 300, 200
_BEST, _POOR = (0.0, 0.0), _SURFACE.start
_SHOWN = 3  # noisy paths


def leave(*, seeds: int = 24, noise: float = 3.0, batch: int = 16, steps: int = 1500) -> Evidence:
    """Start in poor minima and descend with noise and without, and then without, until all is at rest.

    Args:
        seeds: How many runs on the surface; a third as many networks.
        noise: The standard deviation of the noise on the surface's gradient.
        batch: Examples in a batch of the network's noisy descent.
        steps: How many steps networks take until they are taken to be at rest, and as many again from there.

    Raises:
        ValueError: The seeds are too few for two networks, or the steps for noisy descent among them.
    """
    _asked.whole("seeds", seeds, 6, error=ValueError)
    _asked.whole("steps", steps, 2, error=ValueError)
    quiet = [_on_surface(_POOR, 0.0, 0)]
    noisy = [_on_surface(_POOR, noise, seed) for seed in range(seeds)]
    from_best = [_on_surface(_BEST, noise, seed) for seed in range(seeds)]
    still, away, stayed = _in_best(quiet), _in_best(noisy), _in_best(from_best)
    surface, network = "three-hump camel", "digits, a network of two hidden units"
    checks = [
        exact("runs without noise that leave the poor minimum", still.sum(), below=1.0, condition=surface),
        measured("share of noisy runs that leave it", away, above=0.1, condition=surface, of=3),
        *_network_checks(network, seeds // 3, batch, steps),
    ]  # fmt: skip
    return Evidence(
        f"On the surface {_STEPS} steps of plain descent at {_RATE:g}, {seeds} times with normal noise of "
        f"standard deviation {noise:g} on the gradient, then {_REST} steps without. Of the digits 256, for "
        f"{seeds // 3} networks of two hidden units: {steps} steps of batch descent until they rest, then as many, of "
        f"batch descent or two thirds of them on batches of {batch}.",
        tuple(checks),
        _scene(quiet[0][0], [walk for walk, _ in noisy[:_SHOWN]]),
        f"Of {seeds} noisy runs that began in the best minimum, {int(seeds - stayed.sum())} left that.",
    )


def _on_surface(start: Point, noise: float, seed: int) -> tuple[Path, Path]:
    """A path with noise, and the one on which it then comes to rest."""
    walk = path(_SURFACE, "sgd", start, _STEPS, lr=_RATE, noise=noise, seed=seed)
    x, y = walk.points[-1].tolist()
    return walk, path(_SURFACE, "sgd", (x, y), _REST, lr=_RATE)


def _in_best(runs: Sequence[tuple[Path, Path]]) -> Array:
    """Which runs [seeds] come to rest in the best minimum, as 1 and 0."""
    return np.array([float(rest.losses[-1] < _SURFACE(*_BEST) + 0.1) for _, rest in runs])


def _scene(quiet: Path, noisy: Sequence[Path]) -> Scene:
    scene = scene_of(_SURFACE, [quiet])
    return Scene(
        "From a poor minimum: without noise, and with",
        scene.view,
        scene.heights,
        [
            trajectory_of(quiet, "without noise"),
            *(trajectory_of(walk, f"with noise, {number}") for number, walk in enumerate(noisy, 1)),
        ],
        _SURFACE.minima,
        scene.start,
    )


def _network_checks(where: str, seeds: int, batch: int, steps: int) -> list[Check]:
    given = digits()
    few = given.train.take(slice(256))
    problem = Problem(
        model=lambda: nn.Sequential(nn.Linear(64, 2), nn.ReLU(), nn.Linear(2, 10)),
        loss=nn.functional.cross_entropy,
        train=(few.inputs, few.targets),
        valid=(given.valid.inputs, given.valid.targets),
        batch=256,
        epochs=steps,
    )
    whole, some = watched_on_training(problem), watched_on_training(problem.with_batch(batch))
    before, weights = _descended(whole, seeds, steps)
    stayed, _ = _descended(whole, seeds, steps, weights)
    _, shaken = _descended(some, seeds, 2 * steps // 3, weights)
    settled, _ = _descended(whole, seeds, steps - 2 * steps // 3, shaken)
    return [
        measured(
            "loss after more batch descent, over before", stayed / before, above=0.7, condition=where, of=3, ratio=True
        ),
        measured(
            "loss after small batches instead, over that",
            settled / stayed,
            below=0.9,
            condition=where,
            of=3,
            ratio=True,
        ),
    ]


def _descended(
    problem: Problem, seeds: int, steps: int, weights: Sequence[Tensor] | None = None
) -> tuple[Array, list[Tensor]]:
    """The last losses [seeds] and weights [seeds, ...] of runs from the weights given, or from fresh ones."""
    streams = [*range(seeds)]
    with torch_threads(1):
        lanes = lanes_for(problem, streams)
        with torch.no_grad():
            for parameter, given in zip(lanes.parameters, weights or lanes.parameters, strict=True):
                parameter.copy_(given)
        update = LaneUpdate(lanes.parameters, [lane("sgd", lr=0.2)] * seeds, streams)
        curves = train(lanes, update, steps=steps, evaluate_every=steps)
    return curves.valid_loss[:, -1], [parameter.clone() for parameter in lanes.parameters]


LESSONS = [
    Lesson(
        5,
        "Noise and poor minima",
        "Noise lets stochastic descent leave a poor minimum that batch descent stays in.",
        "Bottou, Stochastic gradient learning in neural networks, 1991",
        leave,
        "noise=1 and noise=5, and look how many leave the poor minimum, and the best one.",
    ),
]
