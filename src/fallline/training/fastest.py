"""Which way of training lanes is the fastest, by measurement."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

import torch

from fallline.training.lanes import Lanes
from fallline.training.population import obstacle_to_batching
from fallline.training.problem import Problem
from fallline.training.randomness import seeded
from fallline.training.train import Update

Population = tuple[Lanes, Update]

_SECONDS = 0.3
_FEWEST_ROUNDS = 2  # the first warms up
_STEPS_A_ROUND = 4  # so that a change in the number of threads is paid by one of them
_FEWEST_LANES, _MOST_LANES = 4, 64
_SECONDS_A_BATCHED_STEP = 0.05
#: Processes must be estimated to take this share of the time or less: they start slowly and share the memory's speed.
_WORTH_PROCESSES = 0.8


@dataclass(frozen=True)
class Speed:
    """The fastest `way` of training lanes, and the `seconds` of one step of one lane in each way that there is.

    The ways are "batched", "in turn", and "processes", one of a single thread for each core, in which lanes take turns.
    `obstacle` says why lanes can't be batched, where they can't.
    """

    way: str
    seconds: dict[str, float]
    obstacle: str | None


def fastest(problem: Problem, seed: int, population: Callable[[int, bool], Population]) -> Speed:
    """Measure a few steps in each way, which takes half a second for small models.

    `population(lanes, batched)` makes at most so many lanes, and what moves them. The ways take turns, and the fastest
    step of each counts: what else a machine does only ever adds time. Processes are not started; their time is that of
    a step with one thread, divided by the number of cores.

    >>> from fallline.problems import digits
    >>> from fallline.rules import adam
    >>> from fallline.training import make_lanes
    >>> from fallline.training.updates import LaneRule, LaneUpdate
    >>> problem = digits()
    >>> def population(lanes, batched):
    ...     made = make_lanes(problem, range(lanes), batched=batched)
    ...     return made, LaneUpdate(made.parameters, [LaneRule(adam, adam.defaults)] * lanes)
    >>> sorted(fastest(problem, 0, population).seconds)
    ['batched', 'in turn', 'processes']
    """
    obstacle = obstacle_to_batching(problem, seed)
    with seeded(seed, problem.training_device):
        alone = _stepper(population(1, False))
        steps = {"in turn": alone, "processes": _with_one_thread(alone)}
        if obstacle is None:
            alone()  # warms up
            fitting = int(_SECONDS_A_BATCHED_STEP / alone())
            steps["batched"] = _stepper(population(min(max(fitting, _FEWEST_LANES), _MOST_LANES), True))
        seconds = _shortest(steps)
    if problem.training_device.type == "cpu":
        seconds["processes"] /= _cores()
    return Speed(choice(seconds), seconds, obstacle)


def choice(seconds: dict[str, float]) -> str:
    """The way to take, from the seconds of each.

    >>> choice({"batched": 3.0, "in turn": 5.0, "processes": 2.9})
    'batched'
    """
    here = min((way for way in seconds if way != "processes"), key=seconds.__getitem__)
    return "processes" if seconds["processes"] < _WORTH_PROCESSES * seconds[here] else here


def _shortest(steps: dict[str, Callable[[], float]]) -> dict[str, float]:
    """The shortest time that each of these steps reports, in turns."""
    seconds = dict.fromkeys(steps, float("inf"))
    begun = time.perf_counter()
    turn = 0
    while turn < _FEWEST_ROUNDS or time.perf_counter() - begun < _SECONDS:
        for way, step in steps.items():
            for _ in range(_STEPS_A_ROUND if turn else 1):
                seconds[way] = min(seconds[way], step())
        turn += 1
    return seconds


def _stepper(population: Population) -> Callable[[], float]:
    """A function that takes a step and returns the seconds that it took for each lane."""
    lanes, update = population
    indices = lanes.batches().at(0)
    numbers = count(1)

    def step() -> float:
        begun = time.perf_counter()
        _, gradients = lanes.gradients(indices)
        update(lanes.parameters, gradients, next(numbers))
        if lanes.device.type == "cuda":
            torch.cuda.synchronize(lanes.device)
        return (time.perf_counter() - begun) / len(lanes)

    return step


def _with_one_thread(step: Callable[[], float]) -> Callable[[], float]:
    def alone() -> float:
        with _threads(1):
            return step()

    return alone


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _cores() -> int:
    """The cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
