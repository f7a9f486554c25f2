"""The time of one training step, each arm's best alone: a lane's time inside a population means nothing."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fallline.racing.arms.arm import Arm
from fallline.racing.search.sobol import sobol_points
from fallline.training import Problem
from fallline.training.modules import densify

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

    def maker(arm: Arm, configuration: Mapping[str, Any]) -> Callable[[], Step]:
        return lambda: _stepper(problem, arm, configuration)

    makers = [maker(arm, configuration) for arm, configuration in finalists]
    if each * len(finalists) <= _BYTES:
        made = [make() for make in makers]
        return timed([lambda step=step: step for step in made], clock)  # type: ignore[misc]
    return timed(makers, clock)


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
            _stepper(problem, arm, sobol_points(arm, 1, 0)[0])()
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
