"""Networks of a lesson, trained side by side: every setting on every seed is a lane of one population."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fallline import rules
from fallline.schedules import Schedule
from fallline.symbolic import Rule
from fallline.training import Curves, Problem, lanes_for, torch_threads, train
from fallline.training.updates import LaneRule, LaneUpdate

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Runs:
    """The runs of one setting, one a seed [seeds]; NaN where a run diverged.

    Attributes:
        curves: Their curves.
        test: The metric on the test split at the end [seeds]; NaN where the problem has none.
        weights: The parameters at the end, each [seeds, ...].
    """

    curves: Curves
    test: Array
    weights: tuple[Array, ...]


def lane(rule: Rule | str, schedule: Schedule | None = None, **hyperparameters: Any) -> LaneRule:
    """What moves a lane: a rule, or the name of one, with its defaults where nothing else is said.

    >>> lane("sgd", lr=0.5).values
    {'lr': 0.5}
    """
    found = rules.find(rule) if isinstance(rule, str) else rule
    return LaneRule(found, {**found.defaults, **hyperparameters}, schedule)


def trained(
    problem: Problem,
    settings: Mapping[str, LaneRule],
    seeds: int,
    *,
    steps: int | None = None,
    evaluate_every: int | None = None,
) -> dict[str, Curves]:
    """Train every setting on every seed.

    Args:
        problem: What is trained.
        settings: What moves the lanes, by name.
        seeds: How many seeds, from 0 on: of one seed all settings begin at the same weights and see the same batches.
        steps: Updates of each run; those of the problem's epochs unless given.
        evaluate_every: Steps between two evaluations; an epoch's unless given.

    Returns:
        The curves of each setting, whose lanes are the seeds in order.

    >>> from fallline.problems import breast_cancer
    >>> curves = trained(breast_cancer(epochs=1), {"slow": lane("sgd", lr=0.01), "fast": lane("sgd", lr=0.1)}, seeds=2)
    >>> curves["fast"].valid_loss.shape
    (2, 21)
    """
    every = train_all(problem, settings, range(seeds), steps=steps, evaluate_every=evaluate_every)
    return {name: runs.curves for name, runs in every.items()}


def train_all(
    problem: Problem,
    settings: Mapping[str, LaneRule],
    seeds: Sequence[int],
    *,
    steps: int | None = None,
    evaluate_every: int | None = None,
) -> dict[str, Runs]:
    """Train every setting on every one of these seeds, as `trained` does, and look at the ends as well.

    >>> from fallline.problems import breast_cancer
    >>> found = train_all(breast_cancer(), {"sgd": lane("sgd", lr=0.1)}, range(4), steps=11)
    >>> found["sgd"].curves.steps.tolist(), found["sgd"].test.shape, found["sgd"].weights[0].shape
    ([0, 11], (4,), (4, 1, 30))
    """
    streams = [*seeds] * len(settings)
    steps = problem.steps if steps is None else steps
    with torch_threads(1):  # two that meet at every small operation cost more than they bring
        lanes = lanes_for(problem, streams)
        update = LaneUpdate(lanes.parameters, [one for one in settings.values() for _ in seeds], streams)
        curves = train(lanes, update, steps=steps, evaluate_every=evaluate_every)
        left = lanes.index.numpy()
        test = np.full(len(streams), np.nan)
        weights = tuple(np.full((len(streams), *parameter.shape[1:]), np.nan) for parameter in lanes.parameters)
        with update.evaluated(lanes.parameters):
            if problem.test is not None:
                test[left] = lanes.evaluate(problem.test, step=steps).metric.numpy()
            for every, parameter in zip(weights, lanes.parameters, strict=True):
                every[left] = parameter.double().cpu().numpy()
    rows = {name: slice(len(seeds) * number, len(seeds) * (number + 1)) for number, name in enumerate(settings)}
    return {name: Runs(_some(curves, row), test[row], tuple(w[row] for w in weights)) for name, row in rows.items()}


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

    >>> from fallline.problems import breast_cancer
    >>> rates = [lane("sgd", lr=lr) for lr in (1e-4, 0.1)]
    >>> tuned(breast_cancer(epochs=2), {"sgd": rates})
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


def watched_on_training(problem: Problem) -> Problem:
    """The same problem, evaluated on all of what it is trained on, where a lesson is about the cost itself.

    >>> from fallline.problems import breast_cancer
    >>> len(watched_on_training(breast_cancer()).valid)
    341
    """
    changed = copy.copy(problem)
    changed.valid = problem.splits()["train"]
    return changed


def _some(curves: Curves, rows: slice) -> Curves:
    lanes = ("train_loss", "valid_loss", "valid_metric", "diverged_at")
    return Curves(curves.steps, curves.samples, *(getattr(curves, name)[rows] for name in lanes))


_TUNING = 1000  # the first seed of those that settings are chosen on; lessons report others
