"""Newton's method: how many steps it takes, what each costs, and what a line search saves it from."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fallline import _asked, problems
from fallline.landscape import Ending, Surface, path, surfaces
from fallline.lessons.lesson import Evidence, Lesson, measured
from fallline.optim import SGD
from fallline.optim.newton import Newton
from fallline.pages.player import Scene, Trajectory, scene_of

Array = NDArray[np.float64]
Search = Literal["armijo", "strong_wolfe"] | None

_NEAR, _FAR = "a start near zero", "a start far away"


@dataclass(frozen=True)
class _Descent:
    """The steps to the minimum, infinite where it was not reached, their work in gradients, and seconds a step."""

    steps: float
    gradients: float
    seconds: float


def few_dear_steps(
    *, seeds: int = 10, near: float = 0.1, far: float = 1.0, decay: float = 0.01, most: int = 30,
    line_search: Search = "armijo",
) -> Evidence:  # fmt: skip
    """Minimise the logistic regression of tumours, from near and from far, on all examples at once.

    Args:
        seeds: Starts of each kind.
        near: The standard deviation of the weights at a near start.
        far: That at a far one.
        decay: The factor of the weights' half sum of squares, which gives the loss a minimum; above 0.
        most: Newton steps after which a run counts as lost.
        line_search: That of the Newton whose steps are searched.

    Raises:
        ValueError: The decay is not above 0.
    """
    _asked.number("decay", decay, above=0, error=ValueError)
    regression = _Regression(decay)
    starts = {_NEAR: near, _FAR: far}
    ways: dict[str, Search] = {"searched": line_search, "whole": None}
    newton = {
        where: {
            way: [regression.newton(std, seed, search, most) for seed in range(seeds)] for way, search in ways.items()
        }
        for where, std in starts.items()
    }
    descent = [regression.descent(near, seed) for seed in range(seeds)]
    steps = np.array([run.steps for run in newton[_NEAR]["searched"]])
    cost = np.array([run.gradients for run in newton[_NEAR]["searched"]])
    plain = np.array([run.steps for run in descent])
    times = [one.seconds / other.seconds for one, other in zip(newton[_NEAR]["searched"], descent, strict=True)]
    reached = {
        where: {way: np.array([math.isfinite(run.steps) for run in runs], float) for way, runs in found.items()}
        for where, found in newton.items()
    }
    saved = {where: found["searched"] - found["whole"] for where, found in reached.items()}
    checks = (
        measured(
            "Newton's steps over those of gradient descent", steps / plain,
            below=1.0, condition=_NEAR, of=3, ratio=True,
        ),
        measured(
            "processor time of a Newton step over that of a step of gradient descent", times,
            above=1.0, condition=_NEAR, of=3, ratio=True,
        ),
        measured("share of starts that the line search saves", saved[_FAR], above=0.0, condition=_FAR, of=3),
    )  # fmt: skip
    whole = {where: found["whole"].mean() for where, found in reached.items()}
    return Evidence(
        f"Tumours by logistic regression with {decay:g}/2 times the squared weights, all {regression.examples} "
        f"examples in each step, {seeds} starts of each kind: weights of standard deviation {near:g} and {far:g}. A "
        f"run is there when {regression.accuracy:g} of the way from a loss of log 2 down to the minimum is left, and "
        f"lost if it is not in {most} Newton steps. Gradient descent takes 1/curvature for its rate.",
        checks,
        _on_beale(),
        f"From near, gradient descent took {plain.mean():.0f} steps, and Newton {steps.mean():.1f} steps of the work "
        f"of {cost.mean():.0f} gradients, one for each of {regression.weights} weights in a step among them. "
        f"Without a line search Newton's whole steps got there from {whole[_NEAR]:.0%} "
        f"of the near starts and from {whole[_FAR]:.0%} of the far ones.",
    )


class _Regression:
    """The problem of tumours with a penalty, in float64 on all training examples."""

    accuracy = 1e-6  # what is left of the way from a loss of log 2, at zero weights, to the minimum

    def __init__(self, decay: float) -> None:
        data = problems.breast_cancer()
        self._inputs, self._targets = data.train.inputs.double(), data.train.targets.double()
        self.examples = len(self._inputs)
        self._decay = decay
        model, loss = self._start(0.0, 0)
        self.weights = sum(parameter.numel() for parameter in model.parameters())
        first = float(loss().detach())
        optimizer = Newton(model.parameters())
        while optimizer.report is None or not optimizer.report.finished:
            optimizer.step(loss)
        lowest = float(loss().detach())
        self._goal = lowest + self.accuracy * (first - lowest)

    def newton(self, std: float, seed: int, search: Search, most: int) -> _Descent:
        """Newton's method; a step takes a gradient, one backward pass a weight, and a look at each length it tries."""
        model, loss = self._start(std, seed)
        optimizer = Newton(model.parameters(), line_search=search)
        gradients, begin = 0.0, time.process_time()
        for step in range(most + 1):
            if float(loss().detach()) <= self._goal:
                return _Descent(step, gradients, (time.process_time() - begin) / max(step, 1))
            optimizer.step(loss)
            assert optimizer.report is not None
            gradients += self.weights + optimizer.report.evaluations
        return _Descent(math.inf, gradients, math.nan)

    def descent(self, std: float, seed: int) -> _Descent:
        """Gradient descent at the largest rate that is safe everywhere, 1 over a bound of the curvature."""
        inputs = torch.cat([self._inputs, torch.ones(len(self._inputs), 1)], 1)
        curvature = float(torch.linalg.matrix_norm(inputs, 2)) ** 2 / (4 * self.examples) + self._decay
        model, loss = self._start(std, seed)
        optimizer = SGD(model.parameters(), lr=1 / curvature)
        step, begin = 0, time.process_time()
        while True:
            optimizer.zero_grad()
            value = loss()
            if float(value.detach()) <= self._goal:
                return _Descent(step, step, (time.process_time() - begin) / max(step, 1))
            value.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            step += 1

    def _start(self, std: float, seed: int) -> tuple[nn.Module, Callable[[], Tensor]]:
        model = nn.Linear(self._inputs.shape[1], 1, dtype=torch.float64)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(std * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))

        def loss() -> Tensor:
            fit = nn.functional.binary_cross_entropy_with_logits(model(self._inputs), self._targets)
            size = torch.stack([parameter.square().sum() for parameter in model.parameters()]).sum()
            return fit + self._decay / 2 * size

        return model, loss


def _on_beale() -> Scene:
    """Gradient descent, and Newton with and without a line search, on a surface where whole steps run away."""
    surface = surfaces.beale
    scene = scene_of(surface, [path(surface, "sgd", lr=0.03)], title="Newton's method on Beale's surface")
    searched = _newton_on(surface, "Newton, line search", "armijo")
    whole = _newton_on(surface, "Newton, whole steps", None)
    return replace(scene, trajectories=[*scene.trajectories, searched, whole])


def _newton_on(surface: Surface, name: str, search: Search, steps: int = 20) -> Trajectory:
    place = nn.Parameter(torch.tensor(surface.start, dtype=torch.float64))
    optimizer = Newton([place], line_search=search)
    points = [place.tolist()]
    for _ in range(steps):
        optimizer.step(lambda: surface(place[0], place[1]))
        points.append(place.tolist())
    gone = next((step for step, (x, y) in enumerate(points) if not surface.shows((x, y))), None)
    ending: Ending = "moving" if gone is None else "left"
    outcome = "" if gone is None else f"left the map at step {gone}"
    return Trajectory(
        name, points, surface.heights(*np.transpose(points)), ending=ending, outcome=outcome, outcome_step=gone
    )


LESSONS = [
    Lesson(
        23,
        "Newton and its line search",
        "Newton's method needs few steps but dear ones, and a line search saves it from its own model.",
        "Nocedal and Wright, Numerical Optimization, 2nd edition, 2006, chapter 3",
        few_dear_steps,
        "Set far to 0.1: from near there is nothing to save it from. Set decay to 1, and the loss is so nearly a "
        "parabola that gradient descent needs few steps too.",
    ),
]
