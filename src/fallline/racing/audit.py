"""How a race was held, as plain data, and whether it went as it should: all arms started alike, scores were numbers."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fallline._text import counted
from fallline._version import __version__
from fallline.racing.decision import LARGEST_SCORE
from fallline.racing.effort import Effort
from fallline.racing.stages import Plan
from fallline.training import Problem

TOLERANCE = 1e-5


def step_zero_difference(first_losses: NDArray[np.float64], seeds: Sequence[int]) -> float:
    """The largest relative difference between the first losses [K] of runs whose seeds [K] are equal.

    >>> step_zero_difference(np.array([2.0, 1.0, 2.0]), [7, 8, 7]), step_zero_difference(np.array([2.0, 1.0]), [7, 7])
    (0.0, 0.5)
    """
    found = np.asarray(seeds)
    spread = 0.0
    for seed in set(seeds):
        own = first_losses[(found == seed) & np.isfinite(first_losses)]
        if len(own):
            spread = max(spread, float(np.ptp(own) / max(abs(own).max(), 1e-30)))
    return spread


def started_apart(difference: float) -> tuple[str, ...]:
    """A sentence where the first losses differ by more than rounding.

    Args:
        difference: The largest difference between runs of one seed, relative to their size.
    """
    if difference <= TOLERANCE:
        return ()
    return (
        f"The first losses of one seed differ between runs by {difference:.1e} of their size: the model does not build "
        "alike for the same seed, so the arms did not start from the same weights.",
    )


def one_at_a_time(obstacle: str | None) -> tuple[str, ...]:
    """A sentence where something keeps the runs from being trained side by side.

    >>> one_at_a_time(None)
    ()
    """
    if obstacle is None:
        return ()
    return (
        "The runs are trained one at a time, which takes longer and changes no result, since this model can't be "
        f"batched ({obstacle}).",
    )


def score_before(untrained: NDArray[np.float64]) -> float:
    """The mean score of untrained models, of those that have a finite one; NaN where none has.

    >>> score_before(np.array([0.5, np.nan])), score_before(np.array([np.nan]))
    (0.5, nan)
    """
    own = untrained[np.abs(untrained) <= LARGEST_SCORE]
    return float(own.mean()) if len(own) else float("nan")


def undefined_scores(metric: str, untrained: NDArray[np.float64], undiverged: int) -> tuple[str, ...]:
    """Sentences where the metric was no finite number: of untrained models, and of runs that did not diverge."""
    unknown = int((~(np.abs(untrained) <= LARGEST_SCORE)).sum())
    found = []
    if unknown:
        rest = "judged from the other seeds" if unknown < len(untrained) else "not told, and a diverged run ranks last"
        found.append(
            f"The {metric} of the untrained model is not a finite number (for {counted(unknown, 'seed')} of "
            f"{len(untrained)}), so what was gained is {rest}."
        )
    if undiverged:
        found.append(
            f"The {metric} was not a finite number after {counted(undiverged, 'run')} whose loss stayed sound; such a "
            "run is counted as diverged."
        )
    return tuple(found)


def describe(problem: Problem, effort: Effort, seed: int, plan: Plan) -> dict[str, Any]:
    """Problem, effort, ways and versions."""
    return {
        "problem": problem.name,
        "parameters": sum(p.numel() for p in problem.build(0).parameters() if p.requires_grad),
        "splits": {name: len(split) for name, split in problem.splits().items()},
        "metric": problem.metric.name,
        "higher_is_better": problem.metric.higher_is_better,
        "bounds": list(problem.metric.bounds),
        "target": problem.target,
        "batch": problem.batch,
        "epochs": problem.epochs,
        "steps": problem.steps,
        "samples": problem.batches([seed]).samples(problem.steps),
        "trials_per_arm": effort.trials,
        "rounds": effort.rounds,
        "halving": effort.halving,
        "finalists": effort.finalists,
        "seeds": effort.seeds,
        "points": _points(effort.rounds),
        "seed": seed,
        "training": plan.training,
        "one_at_a_time": plan.obstacle,
        "versions": {
            "fallline": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
    }


def _points(rounds: int | None) -> str:
    sobol = "scrambled Sobol, drawn for each arm by itself"
    if rounds is None:
        return (
            "of one range half evenly over it, half evenly about the best of these, with offsets of each arm's own; of "
            f"more dimensions {sobol}"
        )
    return sobol + ("; later rounds proposed by a tree-structured Parzen estimator" if rounds > 1 else "")
