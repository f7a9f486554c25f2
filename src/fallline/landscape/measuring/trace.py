"""The trace of the Hessian: the sum of all curvatures."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fallline._asked import whole
from fallline.landscape.measuring.loss_at import LossAt
from fallline.landscape.measuring.measured import Measured, Mode, Watch
from fallline.landscape.slice_losses import Model
from fallline.training import Problem


@dataclass(frozen=True)
class Trace(Measured):
    """The trace of the Hessian, estimated.

    Attributes:
        value: The estimate.
        error: Its standard error.
        probes: How many random vectors it is of.
    """

    value: float
    error: float
    probes: int


def trace(
    problem: Problem,
    model: Model,
    *,
    probes: int = 30,
    split: str = "train",
    examples: int | None = None,
    mode: Mode = "evaluation",
    seed: int = 0,
    progress: Watch | None = None,
) -> Trace:
    """Estimate the trace of the Hessian by products with vectors of random signs (Hutchinson, 1989).

    >>> from fallline.problems import quadratic
    >>> problem = quadratic(condition=100, dimensions=20)
    >>> round(trace(problem, problem.build(0)).value, 6)
    460.951618
    """
    probes = whole("probes", probes, 2)
    at = LossAt(problem, model, split, examples, mode, seed, progress)
    at.expect(2 * probes + 1, 3)
    generator = np.random.default_rng(at.seed)
    found = np.empty(probes)
    for number in range(probes):
        signs = generator.choice([-1.0, 1.0], at.size)
        found[number] = signs @ at.product(signs)
    error = float(found.std(ddof=1)) / math.sqrt(probes)
    return Trace(value=float(found.mean()), error=error, probes=probes, **at.measured())
