"""Descent on all examples, on some, or on one at a time; and what its noise is good for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fallline.lessons.lesson import Check, Evidence, Lesson, measured
from fallline.lessons.pictures import lines
from fallline.lessons.populations import lane, trained, watched_on_training
from fallline.lessons.tuning import tuned
from fallline.problems import breast_cancer, digits
from fallline.training import Curves, Problem

Array = NDArray[np.float64]

_RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
_CHOOSING = 2  # seeds that choose rates, and are not judged by


@dataclass(frozen=True)
class _Way:
    """How the training cost went down with one size of batches, at its own best rate."""

    rate: float
    curves: Curves

    @property
    def falling(self) -> Array:
        """The share [seeds] of steps that lower the cost of all examples."""
        return np.asarray((np.diff(self.curves.valid_loss, axis=1) < 0).mean(1), np.float64)

    @property
    def last(self) -> Array:
        """The cost [seeds] in the end."""
        return _cost(self.curves)


def batch_sizes(*, seeds: int = 10, mini: int = 32, epochs: int = 2) -> Evidence:
    """Descend on all examples at once, on mini-batches, and on one example at a time.

    Args:
        seeds: How many initial weights, each with its own order of examples.
        mini: Examples in a mini-batch.
        epochs: How often each run sees all examples; of breast cancer, which has fewer, three times as often.
    """
    problems: dict[str, Callable[[], Problem]] = {
        "breast cancer, logistic regression": lambda: breast_cancer(epochs=3 * epochs),
        "digits, a network": lambda: digits(epochs=epochs),
    }
    found = {name: _ways(make(), mini, seeds) for name, make in problems.items()}
    rates = "; ".join(
        f"{name}: " + ", ".join(f"{way.rate:g} for {size}" for size, way in ways.items())
        for name, ways in found.items()
    )
    return Evidence(
        f"Plain descent on the training cost over {seeds} seeds, {3 * epochs} passes over the examples of breast "
        f"cancer and {epochs} over the digits; each size of batches has the rate of {len(_RATES)}, {_RATES[0]:g} to "
        f"{_RATES[-1]:g}, that ended lowest on {_CHOOSING} other seeds ({rates}).",
        tuple(check for name, ways in found.items() for check in _checks(name, ways)),
        lines(
            "The network's training cost, over samples seen",
            "samples seen",
            "cost of all training examples",
            {size: (way.curves.samples, way.curves.valid_loss) for size, way in found["digits, a network"].items()},
            log_y=True,
        ),
    )


def _ways(given: Problem, mini: int, seeds: int) -> dict[str, _Way]:
    problem = watched_on_training(given)
    ways: dict[str, _Way] = {}
    for name, size in {"all": len(problem.train), f"{mini} at a time": mini, "one at a time": 1}.items():
        sized = problem.with_batch(size)
        candidates = {"": [lane("sgd", lr=rate) for rate in _RATES]}
        best = _RATES[tuned(sized, candidates, seeds=_CHOOSING, score=_cost)[""]]
        ways[name] = _Way(best, trained(sized, {"": lane("sgd", lr=best)}, seeds, evaluate_every=1)[""])
    return ways


def _cost(curves: Curves) -> Array:
    """The cost [seeds] in the end."""
    return curves.valid_loss[:, -1]


def _checks(where: str, ways: Mapping[str, _Way]) -> list[Check]:
    whole, some, one = ways.values()
    steps, samples = f"{where}, step by step", f"{where}, sample by sample"
    falling = one.falling - some.falling
    over_whole, over_one = some.last / whole.last, some.last / one.last
    return [
        measured(
            "share of batch descent's steps that lower the cost", whole.falling, above=0.99, condition=steps, of=10
        ),
        measured("share of mini-batch steps that do", some.falling, above=0.5, below=0.99, condition=steps, of=10),
        measured("share of single-example steps that do, less that", falling, below=0.0, condition=steps, of=10),
        measured(
            "final cost of mini-batches, over batch descent's",
            over_whole,
            below=1.0,
            ratio=True,
            condition=samples,
            of=10,
        ),
        measured(
            "final cost of mini-batches, over single examples'",
            over_one,
            below=1.0,
            ratio=True,
            condition=samples,
            of=10,
        ),
    ]


LESSONS = [
    Lesson(
        2,
        "Batch, mini-batch, stochastic",
        "Batch descent lowers the cost every step, mini-batch descent noisily, stochastic descent wanders; per sample "
        "seen, mini-batches get furthest.",
        "Bottou, Curtis and Nocedal, Optimization methods for large-scale machine learning, 2018",
        batch_sizes,
        "mini=256 or epochs=5, and look which size is ahead then; mini=1078 makes mini-batches of all digits.",
    ),
]
