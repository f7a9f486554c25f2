"""Networks of a lesson, trained side by side: every setting on every seed is a lane of one population."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fallline.rules import find
from fallline.schedules import Schedule
from fallline.symbolic import Rule
from fallline.training import Curves, Lanes, Problem, Update, lanes_for, torch_threads, train
from fallline.training.updates import LaneRule, LaneUpdate

Moves = TypeVar("Moves", bound=Update)


def lane(rule: Rule | str, schedule: Schedule | None = None, **hyperparameters: Any) -> LaneRule:
    """What moves a lane: a rule, or the name of one, with its defaults where nothing else is said.

    >>> lane("sgd", lr=0.5).values
    {'lr': 0.5}
    """
    found = find(rule) if isinstance(rule, str) else rule
    return LaneRule(found, {**found.defaults, **hyperparameters}, schedule)


def trained(
    problem: Problem,
    settings: Mapping[str, LaneRule | Sequence[LaneRule]],
    seeds: int,
    *,
    first: int = 0,
    steps: int | None = None,
    evaluate_every: int | None = None,
    watch: Callable[[int, Lanes], None] | None = None,
) -> dict[str, Curves]:
    """Train every setting on every seed.

    Args:
        problem: What is trained.
        settings: What moves the lanes, by name: one for all seeds, or one for each.
        seeds: How many seeds: of one seed all settings begin at the same weights and see the same batches.
        first: The first seed, so that what is chosen on some can be judged on others.
        steps: Updates of each run; those of the problem's epochs unless given.
        evaluate_every: Steps between two evaluations; an epoch's unless given.
        watch: Called as watch(step, lanes) before the first step, which counts as 0, and after each.

    Returns:
        The curves of each setting, whose lanes are the seeds in order.

    >>> from fallline.problems import breast_cancer
    >>> curves = trained(breast_cancer(epochs=1), {"slow": lane("sgd", lr=0.01), "fast": lane("sgd", lr=0.1)}, seeds=2)
    >>> curves["fast"].valid_loss.shape
    (2, 21)
    """
    _, _, every = population(
        problem, settings, seeds, LaneUpdate, first=first, steps=steps, evaluate_every=evaluate_every, watch=watch
    )
    return {
        name: Curves(
            every.steps,
            every.samples,
            *(
                getattr(every, what)[number * seeds : (number + 1) * seeds]
                for what in ("train_loss", "valid_loss", "valid_metric", "diverged_at")
            ),
        )
        for number, name in enumerate(settings)
    }


def population(
    problem: Problem,
    settings: Mapping[str, LaneRule | Sequence[LaneRule]],
    seeds: int,
    made: Callable[[Sequence[Tensor], Sequence[LaneRule], Sequence[int]], Moves],
    *,
    first: int = 0,
    steps: int | None = None,
    evaluate_every: int | None = None,
    watch: Callable[[int, Lanes], None] | None = None,
) -> tuple[Lanes, Moves, Curves]:
    """Train every setting on every seed as `trained` does, by an update of one's own: the lanes, it, and all curves.

    Args:
        problem: As for `trained`.
        settings: The same.
        seeds: The same.
        made: Makes the update of the lanes' parameters, their rules and their seeds.
        first: As for `trained`.
        steps: The same.
        evaluate_every: The same.
        watch: The same.
    """
    streams = [*range(first, first + seeds)] * len(settings)
    rules = [rule for one in settings.values() for rule in ([one] * seeds if isinstance(one, LaneRule) else one)]
    with torch_threads(1):  # two that meet at every small operation cost more than they bring
        lanes = lanes_for(problem, streams)
        update = made(lanes.parameters, rules, streams)
        if watch is not None:
            watch(0, lanes)
        told = None if watch is None else lambda step, _: watch(step, lanes)
        curves = train(lanes, update, steps=steps, evaluate_every=evaluate_every, progress=told)
    return lanes, update, curves


def by_setting(lanes: Lanes, values: Tensor, settings: int) -> NDArray[np.float64]:
    """Numbers of the lanes that are left as [settings, seeds, ...]; NaN for those that diverged.

    Args:
        lanes: As `trained` shows them to `watch`.
        values: One or more a lane [lanes, ...].
        settings: How many there are.
    """
    every = np.full((lanes.count, *values.shape[1:]), np.nan)
    every[lanes.index.numpy()] = values.detach().double().numpy()
    return every.reshape(settings, -1, *values.shape[1:])


def shares_behind(
    scores: Mapping[str, NDArray[np.float64]], untrained: float, *, higher_is_better: bool
) -> dict[str, NDArray[np.float64]]:
    """How far runs end behind the best mean, as shares of its gain over the untrained model.

    As in a decision over problems, a run that diverged, or ended worse than that, counts as the untrained model.

    Args:
        scores: Those of each method [seeds].
        untrained: That of the untrained model.
        higher_is_better: Whether scores are better the higher they are.

    >>> shares_behind({"a": np.array([0.9, 0.9]), "b": np.array([0.5, np.nan])}, 0.1, higher_is_better=True)
    {'a': array([0., 0.]), 'b': array([0.5, 1. ])}
    """
    sign = -1.0 if higher_is_better else 1.0
    losses = {
        name: np.where(sign * one < sign * untrained, sign * one, sign * untrained) for name, one in scores.items()
    }
    best = min(float(loss.mean()) for loss in losses.values())
    return {name: (loss - best) / (sign * untrained - best) for name, loss in losses.items()}


def watched_on_training(problem: Problem) -> Problem:
    """The same problem, evaluated on all of what it is trained on, where a lesson is about the cost itself.

    >>> from fallline.problems import breast_cancer
    >>> len(watched_on_training(breast_cancer()).valid)
    341
    """
    changed = copy.copy(problem)
    changed.valid = problem.splits()["train"]
    return changed
