"""The size of batches: what small ones are good for, and what large ones need."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fallline.lessons.followed import Array, followed, top_curvature
from fallline.lessons.lesson import Check, Evidence, Lesson, measured
from fallline.lessons.pictures import intervals, lines
from fallline.lessons.populations import lane
from fallline.problems import digits
from fallline.schedules import linear_scaling, warmup

_AS_GOOD = 1.05  # of a loss


def flatness(
    *, small: int = 16, large: int = 512, rates: Sequence[float] = (0.1, 0.5), epochs: int = 30, seeds: int = 10
) -> Evidence:
    """Train the digits' network by small batches and by large ones, and look where each ends.

    Args:
        small: Examples of a small batch.
        large: Examples of a large one.
        rates: Learning rates of plain descent, for both.
        epochs: Of the small batches.
        seeds: How many runs each mean is over.
    """
    problem = digits(epochs=epochs)
    settings = {f"η = {rate:g}": lane("sgd", lr=rate) for rate in rates}
    by_few, by_many = problem.with_batch(small), problem.with_batch(large)
    lengths = {"small": by_few.steps, "as many epochs": by_many.steps, "as many steps": by_few.steps}
    curvatures: dict[str, dict[str, Array]] = {}
    ends = {}
    for length, steps in lengths.items():
        found = followed(by_few if length == "small" else by_many, settings, seeds, steps=steps)
        tops = np.full(found.lanes.count, np.nan)
        for number, module in found.modules():
            tops[number] = top_curvature(problem, module)
        ends[length] = found, tops, *found.quality(problem.test), found.quality(problem.train)[0]
    ...
