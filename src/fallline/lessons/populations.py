"""Runs of several methods on one problem, trained side by side, and the settings that validation chooses for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fallline.symbolic import Rule
from fallline.training import Curves, Problem, lanes_for, train
from fallline.training.updates import LaneRule, LaneUpdate

Array = NDArray[np.float64]

_TUNING = 1000  # the first seed of those that settings are chosen on, far from those that a lesson reports


@dataclass(frozen=True, eq=False)
class Runs:
    """The runs of one method, one a seed [seeds]; a run that diverged is NaN.

    Attributes:
        curves: Their curves.
        test: The metric on the test split at the end [seeds]; NaN where the problem has none.
        weights: The parameters at the end, each [seeds, ...].
    """

    curves: Curves
    test: Array
    weights: tuple[Array, ...]


def lane(rule: Rule, **hyperparameters: Any) -> LaneRule:
    """A rule with its defaults, but for what is given."""
    return LaneRule(rule, {**rule.defaults, **hyperparameters})


def train_all(
    problem: Problem,
    methods: Mapping[str, LaneRule],
    seeds: Sequence[int],
    *,
    steps: int | None = None,
    evaluate_every: int | None = None,
) -> dict[str, Runs]:
    """Train each method from every seed, as lanes of one population.

    >>> from fallline import problems, rules
    >>> found = train_all(problems.breast_cancer(), {"sgd": lane(rules.gradient_descent, lr=0.1)}, range(4), steps=11)
    >>> found["sgd"].curves.steps.tolist(), found["sgd"].test.shape, found["sgd"].weights[0].shape
    ([0, 11], (4,), (4, 1, 30))
    """
    rules = [method for method in methods.values() for _ in seeds]
    lanes = lanes_for(problem, [seed for _ in methods for seed in seeds])
    update = LaneUpdate(lanes.parameters, rules, seeds=lanes.seeds)
    steps = problem.steps if steps is None else steps
    curves = train(lanes, update, steps=steps, evaluate_every=evaluate_every)
    kept = lanes.index.numpy()
    test = np.full(len(rules), np.nan)
    weights = [np.full((len(rules), *parameter.shape[1:]), np.nan) for parameter in lanes.parameters]
    if len(kept):
        with update.evaluated(lanes.parameters):
            if problem.test is not None:
                test[kept] = lanes.evaluate(problem.test, step=steps).metric.numpy()
            for every, parameter in zip(weights, lanes.parameters, strict=True):
                every[kept] = _numbers(parameter)
    groups = np.arange(len(rules)).reshape(len(methods), len(seeds))
    return {
        name: Runs(_some(curves, rows), test[rows], tuple(every[rows] for every in weights))
        for name, rows in zip(methods, groups, strict=True)
    }


def tuned(
    problem: Problem,
    candidates: Mapping[str, Sequence[LaneRule]],
    *,
    seeds: int = 3,
    steps: int | None = None,
    evaluate_every: int | None = None,
    score: Callable[[Curves], Array] | None = None,
) -> dict[str, int]:
    """Which of each method's candidates does best, in the mean over seeds of their own.

    Args:
        problem: What is trained.
        candidates: Equally many for each method, so that none is tuned more than another.
        seeds: How many runs each candidate has; no seed is among the first thousand.
        steps: As for `train_all`.
        evaluate_every: As for `train_all`; at the end alone unless given.
        score: What is to be low of each run [seeds], where it is not how the validation metric ends; NaN is the worst.

    >>> from fallline import problems, rules
    >>> rates = [lane(rules.gradient_descent, lr=lr) for lr in (1e-4, 0.1)]
    >>> tuned(problems.breast_cancer(epochs=2), {"sgd": rates})
    {'sgd': 1}
    """
    sign = -1.0 if problem.metric.higher_is_better else 1.0
    every = {f"{name} {place}": one for name, some in candidates.items() for place, one in enumerate(some)}
    last = problem.steps if steps is None else steps
    found = train_all(
        problem, every, range(_TUNING, _TUNING + seeds), steps=steps, evaluate_every=evaluate_every or last
    )

    def mean(name: str, place: int) -> float:
        curves = found[f"{name} {place}"].curves
        scores = sign * curves.valid_metric[:, -1] if score is None else score(curves)
        return float(np.where(np.isfinite(scores), scores, np.inf).mean())

    return {name: min(range(len(some)), key=partial(mean, name)) for name, some in candidates.items()}


def _some(curves: Curves, rows: NDArray[np.int64]) -> Curves:
    return Curves(
        curves.steps, curves.samples, curves.train_loss[rows], curves.valid_loss[rows], curves.valid_metric[rows],
        curves.diverged_at[rows],
    )  # fmt: skip


def _numbers(parameter: Tensor) -> Array:
    return parameter.detach().cpu().double().numpy()
