"""Momentum in a ravine: what it cancels, what it adds up, and how Nesterov's brakes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from fallline import _asked
from fallline.landscape import Path, curvature, path, surfaces
from fallline.lessons.followed import Array, followed
from fallline.lessons.lesson import Check, Evidence, Lesson, exact, measured
from fallline.lessons.populations import lane, trained
from fallline.pages.player import scene_of, trajectory_of
from fallline.problems import diabetes, digits

_LONG = 1000  # steps, within which descent is through the ravine at every rate here
_SHOWN = 120  # steps


def zigzag(
    *,
    momentum: float = 0.9,
    rates: Sequence[float] = (1.96, 0.5),
    network_rate: float = 0.1,
    epochs: int = 20,
    seeds: int = 10,
) -> Evidence:
    """Compare descent with and without momentum, in a ravine and on the digits' network.

    Args:
        momentum: The factor μ.
        rates: Learning rates in the ravine, as multiples of 1/(its steepest curvature); descent diverges from 2 on.
        network_rate: The learning rate for the network.
        epochs: Of the network.
        seeds: Of the network.

    Raises:
        ValueError: The momentum is not below 1, or a rate not above 0.
    """
    _asked.number("momentum", momentum, below=1, error=ValueError)
    for rate in rates:
        _asked.number("rates", rate, above=0, error=ValueError)
    ravine = surfaces.ravine
    _, steepest = ravine.curvatures(*ravine.minima[0])
    pairs = {f"ravine, both at η = {rate:g}/λ": (rate, rate) for rate in rates}
    pairs[f"ravine, η = {rates[0]:g}/λ and {1 - momentum:.2g} of it"] = (rates[0], (1 - momentum) * rates[0])
    checks: list[Check] = []
    for condition, (plain, with_momentum) in pairs.items():
        descent = path(ravine, "sgd", lr=plain / steepest, steps=_LONG)
        ball = path(ravine, "momentum", lr=with_momentum / steepest, momentum=momentum, steps=_LONG)
        checks += [
            exact(
                "the way travelled across the ravine, momentum's over descent's",
                travelled(ball.points[:, 1]) / travelled(descent.points[:, 1]),
                below=1.0,
                condition=condition,
            ),
            exact(
                "the steps until a tenth of the way along is left, momentum's over descent's",
                steps_to_a_tenth(ball.points[:, 0]) / steps_to_a_tenth(descent.points[:, 0]),
                below=1.0,
                condition=condition,
            ),
        ]
    checks += _on_digits(momentum, network_rate, epochs, seeds)
    highest = rates[0] / steepest
    shown = {
        "gradient descent": path(ravine, "sgd", lr=highest, steps=_SHOWN),
        "momentum": path(ravine, "momentum", lr=highest, momentum=momentum, steps=_SHOWN),
        "momentum, lower rate": path(ravine, "momentum", lr=(1 - momentum) * highest, momentum=momentum, steps=_SHOWN),
    }
    trajectories = [trajectory_of(one, name) for name, one in shown.items()]
    scene = scene_of(ravine, [], title="A ravine without momentum and with it")
    return Evidence(
        f"A ravine with curvatures 1 and λ = {steepest:g}, exact gradients, momentum {momentum:g}; and the digits' "
        f"network, batches of 64, {epochs} epochs, {seeds} seeds, η = {network_rate:g}.",
        tuple(checks),
        dataclasses.replace(scene, trajectories=trajectories),
        "Momentum oscillates too: across the ravine it shrinks by √μ a step at best, descent by |1 - ηλ|. So it calms "
        "only a descent that is close to its limit, 2/λ; elsewhere it brings a swing of its own, and it is the way "
        "along that gains.",
    )


def travelled(places: Array) -> float:
    """All that is gone back and forth between places [n] on a line."""
    return float(np.abs(np.diff(places)).sum())


def steps_to_a_tenth(places: Array) -> int:
    """The step from which on places [n] are within a tenth of the first one's distance from 0; n where none is."""
    return int(np.flatnonzero(~(np.abs(places) <= 0.1 * abs(places[0])))[-1]) + 1


def _on_digits(momentum: float, rate: float, epochs: int, seeds: int) -> list[Check]:
    problem = digits(epochs=epochs)
    slow, fast = f"digits, both at η = {rate:g}", f"digits, η = {rate / (1 - momentum):.2g} and {rate:g}"
    settings = {
        "momentum": lane("momentum", lr=rate, momentum=momentum),
        slow: lane("sgd", lr=rate),
        fast: lane("sgd", lr=rate / (1 - momentum)),
    }
    found = followed(problem, settings, seeds)
    crooked = found.steps.sum(1) / found.displacements
    loss, _ = found.quality(problem.train)
    checks = []
    for condition in (slow, fast):
        detour, left = (found.of("momentum", values) / found.of(condition, values) for values in (crooked, loss))
        what = "the way travelled over the distance gained, momentum's over descent's"
        checks.append(measured(what, detour, below=1.0, condition=condition, of=4, ratio=True))
        what = "the training loss in the end, momentum's over descent's"
        checks.append(measured(what, left, below=1.0, condition=condition, of=4, ratio=True))
    return checks


def braking(
    *,
    rule: str = "nesterov",
    momentum: float = 0.9,
    rates: Sequence[float] = (0.1, 0.5, 1.5),
    steps: int = 300,
    seeds: int = 10,
) -> Evidence:
    """Compare Nesterov's momentum with the ordinary, in a ravine and on a regression of real measurements.

    Args:
        rule: What should brake earlier than momentum.
        momentum: The factor μ of both.
        rates: Learning rates, as multiples of 1/(the steepest curvature).
        steps: Of the regression.
        seeds: Of the regression, from which its first weights follow.
    """
    ravine = surfaces.ravine
    _, steepest = ravine.curvatures(*ravine.minima[0])
    names = ("momentum", rule)
    checks: list[Check] = []
    paths = {}
    for rate in rates:
        paths[rate] = [path(ravine, name, lr=rate / steepest, momentum=momentum, steps=_SHOWN) for name in names]
        (begun, beyond), (begun_earlier, beyond_less) = map(_braking, paths[rate])
        checks += [
            exact(
                f"the height at which it is fastest, as a share of the start's, {rule}'s less momentum's",
                begun_earlier - begun,
                above=0.0,
                condition=f"ravine, η = {rate:g}/λ",
            ),
            exact(
                f"how far it runs beyond the bottom of the steep side, {rule}'s over momentum's",
                beyond_less / beyond,
                below=1.0,
                condition=f"ravine, η = {rate:g}/λ",
            ),
        ]
    ends = [one.description for one in paths[max(rates)]]
    checks += _on_diabetes(names, momentum, rates, steps, seeds)
    return Evidence(
        f"A ravine with curvatures 1 and λ = {steepest:g}, exact gradients; and linear regression on the diabetes data "
        f"by the whole batch, {steps} steps, {seeds} seeds. Momentum {momentum:g}, rates in units of 1/(the steepest "
        "curvature).",
        tuple(checks),
        scene_of(ravine, paths[rates[len(rates) // 2]], title=f"Momentum and {rule} at the same rate"),
        f"In the ravine, at {max(rates):g}/λ, momentum {ends[0]}; {rule} {ends[1]}.",
    )


def _braking(found: Path) -> tuple[float, float]:
    """The height at which a path is fastest on its first way down the steep side, and how far it runs beyond."""
    height = found.points[:, 1] / found.points[0, 1]
    bottom = int(np.argmax(height <= 0)) or len(height)
    fastest = int(np.argmax(-np.diff(height[: bottom + 1])))
    return float(height[fastest]), float(-height.min())


def _on_diabetes(
    names: tuple[str, str], momentum: float, rates: Sequence[float], steps: int, seeds: int
) -> list[Check]:
    problem = diabetes()
    problem = problem.with_batch(len(problem.train))
    steepest = curvature(problem, problem.build(0), ends="top").top[0]
    settings = {f"{name} {rate}": lane(name, lr=rate / steepest, momentum=momentum) for name in names for rate in rates}
    curves = trained(problem, settings, seeds, steps=steps, evaluate_every=1)
    rises = {name: np.clip(np.diff(one.train_loss, axis=1), 0, None).sum(1) for name, one in curves.items()}
    return [
        measured(
            f"all rises of the training loss added up, {names[1]}'s less momentum's",
            rises[f"{names[1]} {rate}"] - rises[f"{names[0]} {rate}"],
            below=0.0,
            condition=f"diabetes, η = {rate:g}/λ",
            of=len(rates),
        )
        for rate in rates
    ]


LESSONS = [
    Lesson(
        7,
        "Momentum in a ravine",
        "Momentum cancels the zig-zag across a ravine and adds up along it.",
        "Polyak, Some methods of speeding up the convergence of iteration methods, 1964; Qian, On the momentum term in "
        "gradient descent learning algorithms, 1999",
        zigzag,
        "Take momentum=0.5, which travels less across the ravine than 0.9 does; with momentum=0 there is no gain.",
    ),
    Lesson(
        8,
        "Nesterov brakes earlier",
        "Nesterov's momentum looks ahead, so it brakes before the slope turns up and overshoots less.",
        "Nesterov, A method of solving a convex programming problem with convergence rate O(1/k²), 1983; Sutskever et "
        "al., On the importance of initialization and momentum in deep learning, 2013",
        braking,
        "Take rates=(1.3, 1.4): between the two lies the largest rate at which Nesterov's momentum converges.",
    ),
]
