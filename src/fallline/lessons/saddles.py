"""Saddles and plateaus: level places that are no minima, and how soon methods are away from them."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fallline.landscape import Surface, curvature, path, surfaces
from fallline.lessons.lesson import Check, Evidence, Lesson, exact, measured
from fallline.lessons.pictures import intervals
from fallline.lessons.populations import lane, trained
from fallline.lessons.tuning import tuned
from fallline.problems import digits, surface_problem
from fallline.training import Curves, Problem

Array = NDArray[np.float64]

_METHODS = ("momentum", "nesterov", "adagrad", "rmsprop", "adam")
#: Those that the claim is tried on; the others stand in the picture.
_CLAIMED = ("momentum", "rmsprop", "adam")
_RATES = tuple(float(f"{rate:.2g}") for rate in np.geomspace(1e-3, 10, 9))
_CHOOSING = 3  # seeds that choose rates, and are not judged by


@dataclass(frozen=True)
class _Level:
    """A level place: how level it is, the lowest curvature there, and how soon each method is away from it [seeds]."""

    slope: Check
    lowest: Check
    away: Mapping[str, Array]
    rates: Mapping[str, float]


def get_away(*, seeds: int = 10, scale: float = 0.03) -> Evidence:
    """Start near level places, each method with the rate that gets it away soonest.

    Args:
        seeds: How many starts.
        scale: What the network's initial weights are multiplied by: at 0 they are at a saddle.
    """
    network = f"digits, a network's weights times {scale:g}"
    levels = {
        "saddle": _on_surface(surfaces.saddle, 0.03, "saddle", seeds),
        "plateau": _on_surface(surfaces.plateau, 0.3, "plateau", seeds),
        network: _in_network(scale, network, seeds),
    }
    checks: list[Check] = []
    for where, level in levels.items():
        checks += [level.slope, level.lowest]
        checks += [
            measured(
                f"{method}'s steps over plain descent's",
                level.away[method] / level.away["sgd"], below=1.0, condition=where, of=12, ratio=True,
            )
            for method in _CLAIMED
        ]  # fmt: skip
    rates = "; ".join(
        f"{where}: " + ", ".join(f"{method} {rate:g}" for method, rate in level.rates.items())
        for where, level in levels.items()
    )
    return Evidence(
        f"From {seeds} starts near each place, until the loss is for good below the middle between that place and the "
        f"bottom. Each method has the rate of {len(_RATES)}, {_RATES[0]:g} to {_RATES[-1]:g}, that was away soonest on "
        f"{_CHOOSING} other starts ({rates}).",
        tuple(checks),
        intervals(
            "Steps until it is away",
            "steps",
            {where: {method: level.away[method] for method in ("sgd", *_METHODS)} for where, level in levels.items()},
            log=True,
        ),
    )


def _on_surface(surface: Surface, lr: float, where: str, seeds: int) -> _Level:
    slow = path(surface, "sgd", lr=lr)
    lowest = float(surface(*surface.minima[0]))
    lengths = np.linalg.norm(slow.gradients, axis=1)
    high = slow.losses > lowest + 0.1 * (slow.losses[0] - lowest)
    levelest = int(np.where(high, lengths, np.inf).argmin())
    x, y = slow.points[levelest].tolist()
    problem = surface_problem(surface, spread=0.002)
    halfway = (float(slow.losses[levelest]) + lowest) / 2
    away, rates = _away(problem, halfway, seeds, surface.steps)
    return _Level(
        exact(
            "shortest gradient over the longest",
            float(lengths[levelest] / lengths.max()), below=0.1, condition=where,
        ),
        exact("lowest curvature there", surface.curvatures(x, y)[0], below=0.0, condition=where),
        away,
        rates,
    )  # fmt: skip


def _in_network(scale: float, where: str, seeds: int) -> _Level:
    usual = digits()
    problem = _shrunk(usual.with_batch(256), scale)
    away, rates = _away(problem, math.log(10) / 2, seeds, 80, every=2)
    models = [(problem.build(seed), usual.build(seed)) for seed in range(seeds)]
    return _Level(
        measured(
            "gradient over that of usual weights",
            [_slope(problem, here) / _slope(problem, there) for here, there in models],
            below=0.1, condition=where, of=12, ratio=True,
        ),
        measured(
            "lowest curvature there",
            [curvature(problem, here, examples=200).bottom[0] for here, _ in models],
            below=0.0, condition=where, of=12,
        ),
        away,
        rates,
    )  # fmt: skip


def _shrunk(problem: Problem, scale: float) -> Problem:
    """The same problem with smaller initial weights."""
    changed, build = copy.copy(problem), problem.model

    def model() -> nn.Module:
        network = build()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(scale)
        return network

    changed.model = model
    return changed


def _slope(problem: Problem, network: nn.Module) -> float:
    loss = nn.functional.cross_entropy(network(problem.train.inputs), problem.train.targets)
    return float(torch.cat([one.flatten() for one in torch.autograd.grad(loss, list(network.parameters()))]).norm())


def _away(
    problem: Problem, halfway: float, seeds: int, steps: int, every: int = 1
) -> tuple[dict[str, Array], dict[str, float]]:
    """Each method's steps [seeds] until it is away, at the rate at which it is away soonest, and that rate."""
    candidates = {method: [lane(method, lr=rate) for rate in _RATES] for method in ("sgd", *_METHODS)}
    soonest = partial(_for_good, level=halfway)
    best = tuned(problem, candidates, seeds=_CHOOSING, steps=steps, evaluate_every=every, score=soonest)
    rates = {method: _RATES[place] for method, place in best.items()}
    settings = {method: lane(method, lr=rate) for method, rate in rates.items()}
    curves = trained(problem, settings, seeds, steps=steps, evaluate_every=every)
    return {method: _for_good(one, halfway) for method, one in curves.items()}, rates


def _for_good(curves: Curves, level: float) -> Array:
    """The step [seeds] from which on the loss is below a level; infinite if never."""
    up = ~(curves.valid_loss < level)
    first = np.where(up.any(1), up.shape[1] - up[:, ::-1].argmax(1), 0)
    return np.append(curves.steps.astype(np.float64), np.inf)[first]


LESSONS = [
    Lesson(
        4,
        "Plateaus and saddles",
        "Gradients vanish on plateaus and at saddles, which are no minima; momentum and adaptive methods get away from "
        "them sooner than plain descent.",
        "Dauphin et al., Identifying and attacking the saddle point problem, 2014",
        get_away,
        "scale=1 starts the network where it usually does, and not at a saddle: look which gains are left.",
    ),
]
