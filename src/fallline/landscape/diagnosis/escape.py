"""How soon an optimizer leaves a point of weights: short runs that begin there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fallline._asked import number, whole
from fallline._asked import seed as as_seed
from fallline.landscape.diagnosis.short_runs import (
    Array,
    Optimizer,
    as_mover,
    can_batch,
    measured_on,
    run_short,
)
from fallline.landscape.slice_losses import Model
from fallline.training import Problem, Progress, seeded

#: Steps of a run, unless another number is asked for.
STEPS = 200
#: Steps between two looks, likewise.
EVERY = 5


@dataclass(frozen=True, eq=False)
class Escape:
    """When runs of S seeds that began at one point of weights had left it.

    Attributes:
        problem: The problem's name.
        optimizer: What moved the weights.
        hyperparameters: Its hyperparameters, with the learning rate.
        batch: Examples of a step.
        examples: How many examples of the training split the losses are means over.
        steps: The steps of each run.
        fall: The fall in loss that counts as having left.
        left: After how many steps each run had left for good [S], in fives; infinite where it had not.
        gradients: How many gradients of a batch it took.
    """

    problem: str
    optimizer: str
    hyperparameters: dict[str, Any]
    batch: int
    examples: int
    steps: int
    fall: float
    left: Array
    gradients: int


def escape(
    problem: Problem,
    model: Model,
    optimizer: Optimizer = "momentum",
    *,
    lr: float,
    fall: float,
    steps: int = STEPS,
    seeds: int = 5,
    batch: int | Literal["all"] | None = None,
    examples: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    **hyperparameters: Any,
) -> Escape:
    """Train from a model's weights, and see after how many steps the loss has fallen for good.

    Args:
        problem: What is trained.
        model: A module, or a state_dict, that all runs begin from; it is only read.
        optimizer: A rule, a torch optimizer class, or the name of either.
        lr: The learning rate.
        fall: By how much the loss has to fall.
        steps: The steps of a run.
        seeds: How many runs there are; they differ by the order of the examples and by what is drawn.
        batch: Examples of a step, "all" for the whole split; the problem's unless given.
        examples: How many examples of the training split the losses are means over; 512, or all where there are fewer,
            unless given.
        seed: The first of the seeds.
        progress: Called as progress(done, steps) with the steps of all runs.
        **hyperparameters: Those of the optimizer other than lr.

    Returns:
        When each run had left.

    Raises:
        TypeError, ValueError, LookupError: It can't be tried; the sentence names the argument.

    >>> from fallline.problems import digits
    >>> problem = digits()
    >>> bool((escape(problem, problem.build(0), "sgd", lr=0.1, fall=0.1, steps=50).left <= 50).all())
    True
    """
    mover, rate, fall = as_mover(optimizer, hyperparameters), number("lr", lr, above=0), number("fall", fall, above=0)
    seeds, seed, steps = whole("seeds", seeds), as_seed(seed), whole("steps", steps)
    given = measured_on(problem, examples, batch, model)
    with seeded(0, given.training_device):  # whatever a model or a loss draws
        lanes = [(one, mover.lane(rate)) for one in range(seed, seed + seeds)]
        batched = seeds > 1 and can_batch(given)
        found = run_short(given, lanes, steps, every=EVERY, batched=batched, progress=progress)
    gone = found.losses < found.losses[:, :1] - fall  # NaN, where a run diverged, is no way out
    stays = np.flip(np.logical_and.accumulate(np.flip(gone, 1), 1), 1)
    left = np.where(stays.any(1), found.steps[stays.argmax(1)], math.inf)
    return Escape(
        problem=problem.name,
        optimizer=mover.name,
        hyperparameters={**mover.settings, "lr": rate},
        batch=given.batch,
        examples=len(given.valid),
        steps=steps,
        fall=fall,
        left=left,
        gradients=seeds * steps,
    )
