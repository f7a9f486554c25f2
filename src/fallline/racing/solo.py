"""The time of one training step, each arm's best alone: a lane's time inside a population means nothing."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fallline.racing.arms.arm import Arm
from fallline.racing.search.sobol import sobol_points
from fallline.training import Problem
from fallline.training.modules import densify

_ROUNDS, _STEPS = 7, 12
_SECONDS = 0.5  # after which the rounds that an arm has had are enough
#: Bytes that the models and optimizers timed together may take, and tensors like the parameters that each has at most.
_BYTES, _COPIES = 2**30, 6


def solo_seconds(problem: Problem, finalists: Sequence[tuple[Arm, Mapping[str, Any]]]) -> list[float]:
    """Seconds of a step (forward, backward, update) for each, the fastest of several rounds in which they take turns.

    What else a machine does only ever adds time. Of large models only a few are in memory, and take turns, at once.
    """
    each = _COPIES * sum(parameter.nbytes for parameter in problem.build(0).parameters())
    size = max(2, _BYTES // max(1, each))
    parts = [finalists[start : start + size] for start in range(0, len(finalists), size)]
    return [seconds for part in parts for seconds in _timed(problem, part)]


def _timed(problem: Problem, finalists: Sequence[tuple[Arm, Mapping[str, Any]]]) -> list[float]:
    steppers = [_stepper(problem, arm, configuration) for arm, configuration in finalists]
    for step in steppers:
        step()
    seconds: list[list[float]] = [[] for _ in steppers]
    begun = time.perf_counter()
    for turn in range(_ROUNDS):
        order = list(enumerate(steppers))
        for i, step in order if turn % 2 == 0 else reversed(order):
            start = time.perf_counter()
            for _ in range(_STEPS):
                step()
            seconds[i].append((time.perf_counter() - start) / _STEPS)
        if time.perf_counter() - begun > _SECONDS * len(steppers):
            break
    return [min(times) for times in seconds]


def try_arms(problem: Problem, arms: Sequence[Arm]) -> None:
    """Take one step with each arm. Raises ValueError, naming the arm, if one can't."""
    for arm in arms:
        try:
            _stepper(problem, arm, sobol_points(arm, 1, 0)[0])()
        except Exception as error:
            raise ValueError(f"arm '{arm.name}' can't take a step on this problem: {error}") from error


def _stepper(problem: Problem, arm: Arm, configuration: Mapping[str, Any]) -> Callable[[], None]:
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
