"""Learning rates that are too small, too large, and past what the curvature allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fallline.landscape import curvature, path, surfaces
from fallline.lessons.lesson import Check, Evidence, Lesson, exact, measured
from fallline.lessons.pictures import lines
from fallline.lessons.populations import lane, trained, watched_on_training
from fallline.problems import breast_cancer, diabetes, digits
from fallline.training import Problem

Array = NDArray[np.float64]

_FACTORS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.8, 0.95)
#: A loss of so many times the first has diverged, and never comes to it before the limit.
_AWAY = 10.0


@dataclass(frozen=True)
class _Runs:
    """Losses [seeds, points] of runs, over the first one, at each rate in units of 2/curvature."""

    losses: Mapping[float, Array]

    def highest(self, factor: float) -> Array:
        """The highest loss [seeds] on the way, up to where a run diverged."""
        return np.asarray(np.nanmax(self.losses[factor], 1), np.float64)

    def last(self, factor: float) -> Array:
        """The last loss [seeds]; NaN of a run that diverged."""
        last = self.losses[factor][:, -1]
        return np.where(last < _AWAY, last, np.nan)


def edge(*, seeds: int = 10, steps: int = 100, past: float = 1.05, rule: str = "sgd") -> Evidence:
    """Descend with rates below and past 2/curvature, where the curvature is the highest at the start.

    Args:
        seeds: How many starts on each problem.
        steps: How many steps.
        past: The rate that is to diverge, in units of 2/curvature.
        rule: What descends: the limit is gradient descent's.
    """
    factors = sorted({*_FACTORS, past, 1.5, 2.0, 4.0})
    problems: dict[str, Callable[[], Problem]] = {
        "diabetes, linear regression": diabetes,
        "breast cancer, logistic regression": breast_cancer,
        "digits, a network": digits,
    }
    found = {"ravine, curvatures 1 and 50": _on_ravine(rule, factors, seeds, steps)}
    for name, make in problems.items():
        found[name] = _on_problem(make(), rule, factors, seeds, steps)
    checks = [check for where, runs in found.items() for check in _checks(where, runs, past)]
    checks.insert(0, exact("share of jumps over the floor at 0.95", _jumps(rule, steps), above=0.9,
                           condition="ravine, curvatures 1 and 50"))  # fmt: skip
    logistic, network = found["breast cancer, logistic regression"], found["digits, a network"]
    gain = float(np.mean(logistic.last(past) / logistic.last(0.95)))
    idle = int((np.abs(network.last(past) - 1) < 0.02).sum())
    return Evidence(
        f"{steps} steps of {rule} on all examples at once, from {seeds} starts, at rates in units of 2/curvature; the "
        "curvature is the Hessian's highest eigenvalue at the start, and losses are over the first one.",
        tuple(checks),
        lines(
            f"The loss after {steps} steps, over the first",
            "learning rate, in units of 2/curvature",
            "loss over the first",
            {
                where: (factors, np.transpose([runs.last(factor) for factor in factors]))
                for where, runs in found.items()
            },
            log_x=True,
            log_y=True,
            upright=(1.0, "2/curvature"),
            notes=("A line ends where runs diverge.",),
        ),
        "A quadratic alone has one curvature everywhere. At "
        f"{past:g} of the limit, logistic regression ends at {gain:.2g} times its loss at 0.95, and {idle} of the "
        f"network's {seeds} runs end within 2 % of the loss that they began with.",
    )


def _on_ravine(rule: str, factors: list[float], seeds: int, steps: int) -> _Runs:
    surface, limit = surfaces.ravine, 2 / surfaces.ravine.curvatures(0, 0)[1]
    draws = np.random.default_rng(0)
    starts = [(draws.uniform(*surface.view[0]), draws.uniform(*surface.view[1])) for _ in range(seeds)]
    losses = {
        factor: np.array([path(surface, rule, start, steps, lr=factor * limit).losses for start in starts])
        for factor in factors
    }
    return _Runs({factor: one / one[:, :1] for factor, one in losses.items()})


def _jumps(rule: str, steps: int) -> float:
    """The share of steps that change the side, of the steep coordinate, at 0.95 of the limit."""
    surface = surfaces.ravine
    steep = path(surface, rule, steps=steps, lr=0.95 * 2 / surface.curvatures(0, 0)[1]).points[:, 1]
    return float((steep[1:] * steep[:-1] < 0).mean())


def _on_problem(given: Problem, rule: str, factors: list[float], seeds: int, steps: int) -> _Runs:
    problem = watched_on_training(given.with_batch(len(given.train)))
    limits = [2 / curvature(problem, problem.build(seed), ends="top").top[0] for seed in range(seeds)]
    settings = {f"{factor}": [lane(rule, lr=factor * limit) for limit in limits] for factor in factors}
    curves = trained(problem, settings, seeds, steps=steps, evaluate_every=max(1, steps // 20))
    losses = {factor: curves[f"{factor}"].valid_loss for factor in factors}
    return _Runs({factor: one / one[:, :1] for factor, one in losses.items()})


def _checks(where: str, runs: _Runs, past: float) -> list[Check]:
    slow = runs.last(0.02) / runs.last(0.5)
    return [
        measured(
            "last loss at 0.02, over that at 0.5",
            slow, above=1.0, condition=where, of=12, ratio=True,
        ),
        measured(
            "highest loss at 0.95",
            runs.highest(0.95), below=_AWAY, condition=where, of=12, ratio=True,
        ),
        measured(
            f"highest loss at {past:g}",
            runs.highest(past), above=_AWAY, condition=where, of=12, ratio=True,
        ),
    ]  # fmt: skip


LESSONS = [
    Lesson(
        3,
        "Too small, too large",
        "Too small a learning rate crawls, too large a one overshoots, and past 2/curvature it diverges.",
        "LeCun et al., Efficient BackProp, 1998",
        edge,
        'rule="momentum" has a limit of its own, nearly twice as high; past=1.5 leaves no doubt on the quadratics, and '
        "changes nothing on the others.",
    ),
]
