"""Each arm's best alone, beside the race: the time of its step, its trained model, and cuts through the loss there.

A lane's time inside a population means nothing, and a race keeps no weights: each best configuration is trained again
from a final seed, which gives the same run.
"""

from __future__ import annotations

import copy
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np
from torch import nn

from fallline.landscape.slices import slice as slice_of
from fallline.racing.arms import Arm
from fallline.racing.engines import choose_engine
from fallline.racing.runs import Outcome, Run, Work
from fallline.racing.stages import Plan, engine_for
from fallline.training import Problem, densify, trainable

#: Rounds, those without which no two arms could be told apart, and steps of which a round keeps an arm's fastest.
_ROUNDS, _FEWEST_ROUNDS, _STEPS = 31, 11, 3
_SECONDS = 2.0  # after which, for each arm, the rounds that there have been are enough
#: Bytes that the models and optimizers timed together may take, and tensors like the parameters that each has at most.
_BYTES, _COPIES = 2**30, 6

Step = Callable[[], None]
Clock = Callable[[], float]


def solo_seconds(
    problem: Problem, finalists: Sequence[tuple[Arm, Mapping[str, Any]]], *, clock: Clock = time.perf_counter
) -> list[list[float]]:
    """Seconds of a step (forward, backward, update) for each, in each of several rounds of all.

    What else a machine does only adds time and changes from round to round, so that arms are to be compared within
    rounds. Where the models are too large to be in memory together, each is made anew for every round.
    """
    each = _COPIES * sum(parameter.nbytes for parameter in problem.build(0).parameters())

    makers = [functools.partial(_stepper, problem, arm, configuration) for arm, configuration in finalists]
    together = each * len(finalists) <= _BYTES
    return timed([functools.cache(make) for make in makers] if together else makers, clock)


def timed(makers: Sequence[Callable[[], Step]], clock: Clock) -> list[list[float]]:
    """Seconds of the step that each gives, in each round: the fastest of a few, in an order drawn anew each time."""
    order = np.random.default_rng(0)
    seconds: list[list[float]] = [[] for _ in makers]
    begun = clock()
    for turn in range(_ROUNDS):
        for place in order.permutation(len(makers)).tolist():
            step = makers[place]()
            step()  # what the step before left in the caches is another's
            seconds[place].append(min(_seconds(step, clock) for _ in range(_STEPS)))
        if turn + 1 >= _FEWEST_ROUNDS and clock() - begun > _SECONDS * len(makers):
            break
    return seconds


def _seconds(step: Step, clock: Clock) -> float:
    start = clock()
    step()
    return clock() - start


def try_arms(problem: Problem, arms: Sequence[Arm]) -> None:
    """Take one step with each arm. Raises ValueError, naming the arm, if one can't."""
    for arm in arms:
        try:
            _stepper(problem, arm, {name: dimension.at(0.5) for name, dimension in arm.space.items()})()
        except Exception as error:
            raise ValueError(f"arm '{arm.name}' can't take a step on this problem: {error}") from error


def _stepper(problem: Problem, arm: Arm, configuration: Mapping[str, Any]) -> Step:
    """A function that takes a step on the first batch; it starts afresh where weights that diverged make it raise."""
    model = problem.build(0)
    start = copy.deepcopy(model.state_dict())
    batch = arm.recipe(configuration, problem).batch
    inputs, targets = problem.train.inputs[:batch], problem.train.targets[:batch]
    optimizer = arm.optimizer(model.parameters(), configuration, problem)

    def take() -> None:
        optimizer.zero_grad()
        problem.training_loss(model, inputs.clone(), targets).backward()  # type: ignore[no-untyped-call]
        densify(model.parameters())
        optimizer.step()

    def step() -> None:
        nonlocal optimizer
        try:
            take()
        except Exception:
            model.load_state_dict(start)
            optimizer = arm.optimizer(model.parameters(), configuration, problem)
            take()

    return step


#: About what a step takes, where nobody has measured it.
_STEP_SECONDS = 1e-4
#: Examples that the loss of a slice is a mean over, at most: two thousand evaluations are to take seconds.
_EXAMPLES = 512
_POINTS_2D = 21


def trained_again(problem: Problem, runs: Sequence[Run], training: str, workers: int | None) -> list[Outcome]:
    """Runs as a race trained them, to the bit on the same machine, with their networks.

    Args:
        problem: What is trained.
        runs: The runs.
        training: The race's way of training.
        workers: How many processes were asked for; None for one a core.
    """
    plan = Plan(training, len(runs), None, _STEP_SECONDS)
    work = Work(dict(enumerate(runs)), plan.batched, True, plan.width, plan.seconds, list, models=True)
    found: dict[int, Outcome] = {}
    with closing(choose_engine(workers)) as processes:
        engine = engine_for(plan, processes, problem, runs, lambda line: None, asked=workers is not None)
        for numbers, outcomes in engine.train(problem, work, lambda progress: None):
            found |= dict(zip(numbers, outcomes, strict=True))
    return [found[number] for number in range(len(runs))]


def slices_around(models: Mapping[str, nn.Module], problem: Problem) -> list[dict[str, Any]]:
    """Cuts through the loss around trained models, along the same directions for all, as plain data with their names.

    Along one random direction, each filter rescaled to the model's own; and on the plane through the first three,
    where there are so many: it goes through no fourth, whose loss is another than the plane's.
    """
    if not models:
        return []
    through, examples = list(models.values()), min(_EXAMPLES, len(problem.train))
    # Random directions are zero along vectors, so a model without matrices has nothing to show there.
    has_filters = any(parameter.ndim > 1 for parameter in trainable(through[0]))
    cuts = [slice_of(problem, through, examples=examples)] if has_filters else []
    if len(models) > 2:
        three = through[:3]
        cuts.append(slice_of(problem, three, axes="principal", dimensions=2, points=_POINTS_2D, examples=examples))
    return [{**cut.to_json(), "names": list(models)[: len(cut.coordinates)]} for cut in cuts]
