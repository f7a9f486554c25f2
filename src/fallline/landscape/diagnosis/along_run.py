"""Curvature and noise along a run, at the checkpoints of `fallline.fit`: there the edge of stability can be seen."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from fallline.landscape.diagnosis.short_runs import Array, Mover
from fallline.landscape.diagnosis.signals import signals
from fallline.landscape.diagnosis.stability import stability_limit
from fallline.landscape.measuring import NoiseScale, curvature, noise_scale
from fallline.landscape.measuring.copied import has_batch_norm
from fallline.landscape.measuring.measured import Mode
from fallline.symbolic import Rule
from fallline.training import Checkpoint, FitResult, Problem, ProblemError

_ALIKE = 1e-4  # losses of the same examples in both modes


@dataclass(frozen=True, eq=False)
class AlongRun:
    """Curvature and noise at C checkpoints of a run.

    Attributes:
        problem: The problem's name.
        optimizer: What moved the weights.
        split: The split that the examples are of.
        examples: How many of them there are.
        mode: "evaluation" or "training": how dropout and batch norm compute.
        steps: The steps [C] after which the model was kept.
        rates: The learning rates [C] at these; NaN for an optimizer without one.
        losses: The losses [C] on these examples.
        top: The highest curvatures [C].
        top_errors: The lengths of their residuals [C].
        bottom: The lowest curvatures [C].
        limits: The curvatures [C] beyond which the optimizer diverges on a quadratic at its rate, infinite at a rate of
            0; NaN where none is known.
        noise: The noise scales [C] of the gradient, in examples; NaN where they can't be told.
        noise_low: The lower ends of their 95 % intervals [C].
        noise_high: The upper ends [C].
        cost: What it took, in gradients of all the examples.
        as_trained: Whether the loss is the one that was trained, not another in evaluation mode for dropout or batch
            norm.
    """

    problem: str
    optimizer: str
    split: str
    examples: int
    mode: str
    steps: Array
    rates: Array
    losses: Array
    top: Array
    top_errors: Array
    bottom: Array
    limits: Array
    noise: Array
    noise_low: Array
    noise_high: Array
    cost: float
    as_trained: bool = True


def along_run(
    problem: Problem,
    run: FitResult,
    *,
    split: str = "train",
    examples: int | None = None,
    mode: Mode = "evaluation",
    seed: int = 0,
    progress: Callable[[int, int], object] | None = None,
) -> AlongRun:
    """Measure curvature and gradient noise at each checkpoint of a run.

    Full-batch descent raises the top curvature until it is at the limit of its learning rate, 2/lr, and stays there:
    the edge of stability (Cohen, Kaur, Li, Kolter and Talwalkar, 2021).

    Args:
        problem: What was trained.
        run: What `fallline.fit` returned, with checkpoints.
        split: The split that the examples are of.
        examples: How many of them are taken, always the same; all unless given.
        mode: "evaluation" or "training", which says how dropout and batch norm compute.
        seed: What draws the masks of dropout, and whatever else is random.
        progress: Called as progress(done, checkpoints) after each.

    Returns:
        The curvatures and noise scales by step.

    Raises:
        TypeError, ValueError: It can't be measured; the sentence names the argument.

    >>> import fallline as fl
    >>> problem = fl.problems.digits()
    >>> run = fl.fit(problem, "sgd", lr=0.5, batch="all", epochs=30, checkpoints=3)
    >>> found = along_run(problem, run, examples=200)
    >>> found.steps.tolist(), found.limits.tolist()
    ([0.0, 15.0, 30.0], [4.0, 4.0, 4.0])
    """
    if not isinstance(run, FitResult):
        raise TypeError(f"run: got {type(run).__name__}; give what fallline.fit returned.")
    if not run.checkpoints:
        raise ValueError("run: no checkpoints were kept; ask for them, as in fallline.fit(..., checkpoints=10).")
    mover = mover_of(run.optimizer)
    limit = None if mover is None else stability_limit(mover)
    rows, cost = [], 0.0
    noisy = not has_batch_norm(problem.build(0))  # where an example's gradient depends on others there is no scale
    for number, kept in enumerate(run.checkpoints, 1):
        found = curvature(problem, kept.state, split=split, examples=examples, mode=mode, seed=seed)
        noise = _noise(problem, kept, split, examples, mode, seed) if noisy else None
        rate = np.nan if kept.learning_rate is None else kept.learning_rate
        told = (np.nan,) * 3 if noise is None else (noise.scale, noise.low, noise.high)
        highest = np.nan if limit is None else limit / rate if rate else np.inf
        rows.append(
            (kept.step, rate, found.loss, found.top[0], found.top_residuals[0], found.bottom[0], highest, *told)
        )
        cost += found.cost + (0.0 if noise is None else noise.cost)
        if progress is not None:
            progress(number, len(run.checkpoints))
    names = ("steps", "rates", "losses", "top", "top_errors", "bottom", "limits", "noise", "noise_low", "noise_high")
    return AlongRun(
        problem=problem.name,
        optimizer=type(run.optimizer).__name__ if mover is None else mover.name,
        split=split,
        examples=found.examples,
        mode=mode,
        cost=cost,
        as_trained=mode == "training" or _is_as_trained(problem, kept, split, found.examples, seed),
        **dict(zip(names, np.array(rows, float).T, strict=True)),
    )


def _noise(
    problem: Problem, kept: Checkpoint, split: str, examples: int | None, mode: Mode, seed: int
) -> NoiseScale | None:
    try:
        return noise_scale(problem, kept.state, split=split, examples=examples, mode=mode, seed=seed)
    except ProblemError:  # too few examples, or batch norm: what is told of the curvature is none the worse
        return None


def _is_as_trained(problem: Problem, kept: Checkpoint, split: str, examples: int, seed: int) -> bool:
    modes = ("evaluation", "training")
    one, other = (signals(problem, kept.state, split=split, examples=examples, mode=m, seed=seed).loss for m in modes)
    return math.isclose(one, other, rel_tol=_ALIKE)


def mover_of(optimizer: torch.optim.Optimizer) -> Mover | None:
    """The rule that an optimizer follows, with its hyperparameters; None where it follows none of ours, or several."""
    first, *others = optimizer.param_groups
    rule = first.get("rule")
    if others or not isinstance(rule, Rule):
        return None
    return Mover(rule, {name: first[name] for name in rule.hyperparameters if name in first})
