"""What validation chooses among a method's settings, and how the runs of those that are taken end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fallline.lessons.populations import by_setting, trained
from fallline.training import Curves, Lanes, Problem
from fallline.training.updates import LaneRule

Array = NDArray[np.float64]

_FIRST = 1000  # the first seed of those that settings are chosen on


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


def trained_to_the_end(problem: Problem, settings: Mapping[str, LaneRule], seeds: int) -> dict[str, Runs]:
    """Train every setting on every seed, as `trained` does, and look at the ends as well.

    >>> from fallline.lessons.populations import lane
    >>> from fallline.problems import breast_cancer
    >>> found = trained_to_the_end(breast_cancer(epochs=1), {"sgd": lane("sgd", lr=0.1)}, seeds=4)
    >>> int(found["sgd"].curves.steps[-1]), found["sgd"].test.shape, found["sgd"].weights[0].shape
    (11, (4,), (4, 1, 30))
    """
    count = len(settings)
    test = np.full((count, seeds), np.nan)
    weights: list[Array] = []

    def look(step: int, lanes: Lanes) -> None:
        if step == 0:  # for runs of which none comes to the end
            weights[:] = [np.full_like(by_setting(lanes, one, count), np.nan) for one in lanes.parameters]
        if step == problem.steps and len(lanes):
            weights[:] = [by_setting(lanes, parameter, count) for parameter in lanes.parameters]
            if problem.test is not None:
                test[:] = by_setting(lanes, lanes.evaluate(problem.test, step=step).metric, count)

    curves = trained(problem, settings, seeds, watch=look)
    return {
        name: Runs(curves[name], test[place], tuple(every[place] for every in weights))
        for place, name in enumerate(settings)
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
        seeds: How many runs each candidate has; their seeds are far from those that a lesson reports.
        steps: As for `trained`.
        evaluate_every: As for `trained`; at the end alone unless given.
        score: What is to be low of each run [seeds], where it is not how the validation metric ends; NaN is the worst.

    >>> from fallline.lessons.populations import lane
    >>> from fallline.problems import breast_cancer
    >>> rates = [lane("sgd", lr=lr) for lr in (1e-4, 0.1)]
    >>> tuned(breast_cancer(epochs=2), {"sgd": rates})
    {'sgd': 1}
    """
    sign = -1.0 if problem.metric.higher_is_better else 1.0
    every = {f"{name} {place}": one for name, some in candidates.items() for place, one in enumerate(some)}
    last = problem.steps if steps is None else steps
    every_so_often = evaluate_every or last
    found = trained(problem, every, seeds, first=_FIRST, steps=steps, evaluate_every=every_so_often)

    def mean(name: str, place: int) -> float:
        curves = found[f"{name} {place}"]
        scores = sign * curves.valid_metric[:, -1] if score is None else score(curves)
        return float(np.where(np.isfinite(scores), scores, np.inf).mean())

    return {name: min(range(len(some)), key=partial(mean, name)) for name, some in candidates.items()}


def splits_of(problem: Problem) -> dict[str, Any]:
    """The data of a problem, as another one is given them.

    >>> from fallline.problems import digits
    >>> [*splits_of(digits())]
    ['train', 'valid', 'test']
    """
    return {name: (split.inputs, split.targets) for name, split in problem.splits().items()}
