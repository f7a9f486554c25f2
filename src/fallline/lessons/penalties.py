"""Penalties on the weights: which of them leave weights at exactly zero, and by which steps."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fallline import problems, rules
from fallline.lessons.lesson import Check, Evidence, Lesson, measured
from fallline.lessons.pictures import lines
from fallline.lessons.populations import lane
from fallline.lessons.tuning import splits_of, trained_to_the_end
from fallline.training import Problem

Array = NDArray[np.float64]


def exact_zeros(
    *, seeds: int = 10, epochs: int = 50, strength: float = 0.1, lr: float = 0.1, batch: int | None = None
) -> Evidence:
    """Train the regressions of tumours and of diabetes under each penalty, and count weights that are exactly zero.

    Args:
        seeds: Runs of each way.
        epochs: How long they are.
        strength: The penalty's, as a share of the least one by L1 under which all weights are zero at the minimum.
        lr: The learning rate.
        batch: Examples of a step; None for the problem's own.
    """
    checks: list[Check] = []
    sizes: dict[str, Array] = {}
    remarks = []
    for name, made in {"tumours": problems.breast_cancer, "diabetes": problems.diabetes}.items():
        problem = made(epochs=epochs)
        problem = problem if batch is None else problem.with_batch(batch)
        found = _sizes_of_weights(problem, strength * _least_that_clears(problem), lr, seeds)
        count = found[_NONE].shape[1]
        zeros = {way: np.where(np.isnan(one).any(1), np.nan, (one == 0).mean(1)) for way, one in found.items()}
        shorter = np.linalg.norm(found[_L2], axis=1) / np.linalg.norm(found[_NONE], axis=1)
        proximal, in_the_loss = f"{name}, L1 by proximal steps", f"{name}, L1 in the loss"
        share = "share of weights that are exactly zero under"
        checks += [
            measured(f"{share} L1", zeros[_PROXIMAL], above=0.0, condition=proximal, of=8),
            measured(f"{share} L2", zeros[_L2], below=0.5 / count, condition=proximal, of=8),
            measured("length of the weights under L2 over that without", shorter, below=1.0, condition=proximal, of=8),
            measured(f"{share} L1", zeros[_IN_THE_LOSS], above=0.0, condition=in_the_loss, of=8),
        ]
        sizes |= {f"{name}, {way}": one for way, one in found.items()} if name == "tumours" else {}
        smallest = np.median(found[_IN_THE_LOSS].min(1))
        remarks.append(f"{name}: with L1 in the loss the smallest of {count} weights is {smallest:.1g}")
    return Evidence(
        f"Tumours by logistic and diabetes by linear regression, {epochs} epochs of mini-batch descent at learning "
        f"rate {lr:g}, {seeds} seeds. The penalty's factor, one for L1 and L2, is {strength:g} of the least one at "
        "which L1 leaves no weight. By proximal steps L1 is a threshold after each step; in the loss its slope is "
        "followed.",
        tuple(checks),
        lines(
            "Weights by size, tumours", "rank of the weight", "size of the weight",
            {name: (np.arange(1, one.shape[1] + 1), one) for name, one in sizes.items()},
            log_y=True, notes=("Weights that are exactly zero have no place on the scale: the line ends.",),
        ),
        "In the median over seeds, " + "; ".join(remarks) + ": small, but not zero.",
    )  # fmt: skip


_NONE, _PROXIMAL, _IN_THE_LOSS, _L2 = "no penalty", "L1 by proximal steps", "L1 in the loss", "L2"


def _sizes_of_weights(problem: Problem, penalty: float, lr: float, seeds: int) -> dict[str, Array]:
    """The sizes [seeds, weights] of the weights that each way ends with, the largest first."""
    descent = rules.gradient_descent
    methods = {
        _NONE: lane(descent, lr=lr),
        _PROXIMAL: lane(rules.proximal_l1(descent), lr=lr, lambda1=penalty),
        _L2: lane(rules.l2(descent), lr=lr, weight_decay=penalty),
    }
    runs = trained_to_the_end(problem, methods, seeds)
    runs |= trained_to_the_end(_with_l1(problem, penalty), {_IN_THE_LOSS: methods[_NONE]}, seeds)
    return {name: np.sort(np.abs(one.weights[0].reshape(seeds, -1)), axis=1)[:, ::-1] for name, one in runs.items()}


def _with_l1(problem: Problem, penalty: float) -> Problem:
    """The same problem, its training loss with a penalty on all parameters."""

    def step(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        sizes = torch.cat([parameter.abs().flatten() for parameter in model.parameters()])
        return problem.evaluation_loss(model, inputs, targets) + penalty * sizes.sum()

    return Problem(
        model=problem.model, loss=problem.loss, step=step, batch=problem.batch, epochs=problem.epochs,
        name=problem.name, **splits_of(problem),
    )  # fmt: skip


def _least_that_clears(problem: Problem) -> float:
    """The largest slope for a weight where all are zero: less of a penalty by L1 leaves some at its minimum."""
    model = problem.model()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    loss = problem.evaluation_loss(model, problem.train.inputs, problem.train.targets)
    (slope,) = torch.autograd.grad(loss, [next(model.parameters())])
    return float(slope.abs().max())


LESSONS = [
    Lesson(
        22,
        "Exact zeros, or small weights",
        "L1 makes weights exactly zero, L2 only small.",
        "Tibshirani, Regression shrinkage and selection via the lasso, 1996",
        exact_zeros,
        "Set batch to 265: without the noise of mini-batches the threshold keeps more of diabetes' weights at zero. "
        "Set strength to 1, and most weights are gone.",
    ),
]
