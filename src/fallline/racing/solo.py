"""The time of one training step, each arm's best alone: a lane's time inside a population means nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from fallline.racing.arms.arm import Arm
from fallline.training import Problem

_ROUNDS, _STEPS = 7, 12


def solo_seconds(problem: Problem, finalists: Sequence[tuple[Arm, dict[str, float]]]) -> list[float]:
    """Seconds of a step (forward, backward, update) for each, the fastest of several rounds in which they take turns.

    What else a machine does only ever adds time.
    """
    steppers = [_stepper(problem, arm, configuration) for arm, configuration in finalists]
    for step in steppers:
        step()
    seconds: list[list[float]] = [[] for _ in steppers]
    for turn in range(_ROUNDS):
        order = list(enumerate(steppers))
        for i, step in order if turn % 2 == 0 else reversed(order):
            start = time.perf_counter()
            for _ in range(_STEPS):
                step()
            seconds[i].append((time.perf_counter() - start) / _STEPS)
    return [min(times) for times in seconds]


def try_arms(problem: Problem, arms: Sequence[Arm]) -> None:
    """Take one step with each arm. Raises ValueError, naming the arm, if one can't."""
    for arm in arms:
        try:
            _stepper(problem, arm, {name: ends[0] for name, ends in arm.space.items()})()
        except Exception as error:
            raise ValueError(f"arm '{arm.name}' can't take a step on this problem: {error}") from error


def _stepper(problem: Problem, arm: Arm, configuration: dict[str, float]) -> Callable[[], None]:
    model = problem.build(0)
    optimizer = arm.make(model.parameters(), configuration)
    inputs, targets = problem.train.inputs[: problem.batch], problem.train.targets[: problem.batch]

    def step() -> None:
        optimizer.zero_grad()
        loss: torch.Tensor = problem.loss(model(inputs), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step
