"""How a race was held, as plain data: what a reader must know to trust it, or to hold it again."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
import torch

from fallline._version import __version__
from fallline.racing.effort import Effort
from fallline.racing.plan import Plan
from fallline.training import Problem


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
        "names_winner": effort.names_winner,
        "points": "scrambled Sobol, drawn for each arm by itself"
        + ("; later rounds proposed by a tree-structured Parzen estimator" if effort.rounds > 1 else ""),
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
