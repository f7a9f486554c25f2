"""Which kind of lanes a problem can have, how many of them at most, and which way of training them is the fastest."""

from __future__ import annotations

import copy
import itertools
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import flop_registry

from fallline.training.batched import BatchedLanes
from fallline.training.errors import first_line
from fallline.training.evenness import Watch
from fallline.training.generators import seeded
from fallline.training.lanes import Lanes
from fallline.training.modules import bytes_of, slots, stackable, trainable
from fallline.training.problem import Problem
from fallline.training.sequential import SequentialLanes
from fallline.training.train import Update

_FEWEST = 4  # lanes for which a batched pass pays, and which a population may have in any case
_TOLERANCE = 1e4  # in units of the dtype's rounding error


def lanes_for(problem: Problem, seeds: Sequence[int]) -> Lanes:
    """Make lanes, batched where the model allows it, else one at a time, with a warning that says why.

    Args:
        problem: What is trained.
        seeds: One a lane.

    >>> from fallline.problems import digits
    >>> type(lanes_for(digits(), seeds=range(8))).__name__
    'BatchedLanes'
    """
    if len(seeds) < _FEWEST:
        return make_lanes(problem, seeds, batched=False)
    obstacle = obstacle_to_batching(problem, seeds[0])
    if obstacle is not None:
        warnings.warn(f"The lanes are trained one at a time, since they can't be batched: {obstacle}.", stacklevel=2)
    return make_lanes(problem, seeds, batched=obstacle is None)


def make_lanes(problem: Problem, seeds: Sequence[int], *, batched: bool) -> Lanes:
    """Make lanes of one kind or the other.

    Args:
        problem: What is trained.
        seeds: One a lane.
        batched: Whether all lanes share every operation, be there only one; else they take turns.
    """
    return (BatchedLanes if batched else SequentialLanes)(problem, seeds)


def obstacle_to_batching(problem: Problem, seed: int) -> str | None:
    """Say why this problem's lanes can't be batched; None where they can.

    Both kinds are tried on a few batches, with two lanes; batched lanes will do when their gradients, losses and all
    that their models hold agree with those of ordinary modules to rounding.

    Args:
        problem: What is trained.
        seed: Of one of the two lanes.

    >>> from fallline.problems import digits
    >>> obstacle_to_batching(digits(), seed=0) is None
    True
    """
    plain = copy.copy(problem)
    plain.precision = None  # in few bits two ways to the same number differ, and say nothing
    seeds = (seed, seed ^ 1)
    alone = _numbers(SequentialLanes(plain, seeds))
    try:
        together = _numbers(BatchedLanes(plain, seeds))
        if problem.precision is not None:
            _numbers(BatchedLanes(problem, seeds))
    except Exception as error:
        return first_line(error.__cause__ or error).split(". ")[0]
    for name, numbers in alone.items():
        difference = _difference(together[name], numbers)
        if not difference <= _TOLERANCE * torch.finfo(alone["loss"][0].dtype).eps:
            return f"their {name} would differ by {difference:.1g} of its size"
    return None


def _numbers(lanes: Lanes) -> dict[str, list[Tensor]]:
    """What lanes compute from the first batches, the smaller one at the end among them, and hold afterwards."""
    problem, batches = lanes.problem, lanes.batches()
    losses, gradients = [], []
    for step, place in enumerate((0, batches.steps_per_epoch - 1, 0), 1):
        loss, gradient = lanes.gradients(batches.at(place), step)
        losses.append(loss)
        gradients += gradient
        quality = lanes.evaluate(problem.valid.take(slice(problem.batch)))
    lanes.check()
    modules = [lanes.module(lane) for lane in range(len(lanes))]
    return {
        "loss": losses,
        "gradient": gradients,
        "parameters and buffers": [
            slot.get().detach()
            for module in modules
            for slot in itertools.chain(*slots(module))
            if slot.get().dtype.is_floating_point and stackable(slot.get())
        ],
        "evaluation": [quality.loss, quality.metric],
    }


def _difference(some: list[Tensor], others: list[Tensor]) -> float:
    """The largest difference of two lists of tensors, as a share of the largest norm among them."""
    largest = max((float(other.norm()) for other in others), default=0.0)
    difference = max((float((one - other).norm()) for one, other in zip(some, others, strict=True)), default=0.0)
    return difference / largest if largest else difference


#: More take longer each, since what a step touches no longer fits the processor's cache.
_MOST = 128
#: Passes over odd numbers of examples are taken by multiples of so many lanes, see `evenness`.
_ROUND = 32
#: Bytes of the lanes' tensors. What a machine has free at the moment has no say: a race that is taken up again must
#: find the same populations.
_BYTES = {"cpu": 2**30, "cuda": 2**33}
#: Tensors like the parameters that a lane needs at once: itself, gradients twice, three states.
_COPIES = 6
#: Floating-point operations of all lanes and steps, so that little is lost when a population is interrupted.
_OPERATIONS = 2e12
#: A backward pass takes twice what a forward pass does.
_PASSES = 3


def lanes_that_fit(problem: Problem, steps: int | None = None) -> int:
    """Count the lanes, from 4 to 128, that a population of this problem should have at most.

    It follows from the size of the model and from the work alone.

    Args:
        problem: What is trained.
        steps: The updates of a run; all epochs' by default.

    >>> from fallline.problems import digits
    >>> lanes_that_fit(digits()), lanes_that_fit(digits(), steps=10**6)
    (128, 4)
    """
    module = problem.build(0)
    batch = problem.train.take(slice(problem.batch))
    parameters, others = trainable(module), (*module.buffers(), batch.inputs, batch.targets)
    each = _COPIES * sum(map(bytes_of, parameters)) + sum(map(bytes_of, others))
    work = _PASSES * _operations(problem, module) * (problem.steps if steps is None else steps)
    fitting = min(_BYTES[problem.training_device.type] / each, _OPERATIONS / max(1, work))
    lanes = min(max(int(fitting), _FEWEST), _MOST)
    return lanes if lanes < _ROUND else lanes // _ROUND * _ROUND


def _operations(problem: Problem, module: nn.Module) -> int:
    """Count the floating-point operations of a batch forward, those of matrix products and convolutions.

    Where the model differentiates on the way, which torch can't follow, those count that came before.
    """
    batch = problem.train.take(slice(problem.batch))
    operations = _Operations()
    with seeded(0, libraries=True), operations, suppress(RuntimeError):
        problem.training_loss(module, batch.inputs.clone(), batch.targets)
    return operations.count


class _Operations(Watch):  # type: ignore[no-untyped-call]
    """While active, counts floating-point operations by torch's own formulas, as its FlopCounterMode does."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Do an operation, and count it."""
        result = func(*args, **(kwargs or {}))
        if (formula := flop_registry.get(func.overloadpacket)) is not None:
            self.count += int(formula(*args, **(kwargs or {}), out_val=result))
        return result


Population = tuple[Lanes, Update]

_SECONDS = 0.3
_FEWEST_ROUNDS = 3  # the first warms up
_STEPS_A_ROUND = 4
_FEWEST_LANES, _MOST_LANES = 4, 64
_SECONDS_A_BATCHED_STEP = 0.05
#: Threads that wait for one another pay only where they have much to do, and must be measured to be clearly faster.
_SECONDS_WORTH_THREADS, _WORTH_THREADS = 0.01, 0.8


@dataclass(frozen=True)
class Speed:
    """The fastest way of training lanes, and how long each takes.

    Attributes:
        way: "batched" or "in turn", in one process of a single thread for each core, or "threads": in turn, in this
            process, by all of torch's threads.
        seconds: Those of one step of one lane in each way: of one core, for "threads" of all.
        obstacle: Why lanes can't be batched; None where they can.
    """

    way: str
    seconds: dict[str, float]
    obstacle: str | None


def fastest(problem: Problem, seed: int, population: Callable[[int, bool], Population]) -> Speed:
    """Measure a few steps in each way, which takes half a second for small models.

    The ways take turns, and the fastest step of each counts. What a single thread does is measured by the time for
    which it has a core, which other work on the machine hardly changes; what threads do together can only be measured
    by the clock.

    Args:
        problem: What is trained.
        seed: Of the random numbers.
        population: A function of (lanes, batched) that makes at most so many lanes, and what moves them.

    >>> from fallline.problems import digits
    >>> from fallline.rules import adam
    >>> from fallline.training import make_lanes
    >>> from fallline.training.updates import LaneRule, LaneUpdate
    >>> problem = digits()
    >>> def population(lanes, batched):
    ...     made = make_lanes(problem, range(lanes), batched=batched)
    ...     return made, LaneUpdate(made.parameters, [LaneRule(adam, adam.defaults)] * lanes)
    >>> sorted(fastest(problem, 0, population).seconds)
    ['batched', 'in turn', 'threads']
    """
    obstacle = obstacle_to_batching(problem, seed)
    clock = time.thread_time if problem.training_device.type == "cpu" else time.perf_counter
    with seeded(seed, problem.training_device):
        alone = _stepper(population(1, False))
        steps = {
            "in turn": partial(_timed, alone, clock, 1),
            "threads": partial(_timed, alone, time.perf_counter, None),
        }
        if obstacle is None:
            steps["in turn"]()  # warms up
            lanes = min(max(int(_SECONDS_A_BATCHED_STEP / steps["in turn"]()), _FEWEST_LANES), _MOST_LANES)
            batched = population(lanes, True)
            steps["batched"] = partial(_timed, _stepper(batched), clock, 1, len(batched[0]))
        seconds = _shortest(steps)
    return Speed(choice(seconds, cores()), seconds, obstacle)


def choice(seconds: Mapping[str, float], processes: int) -> str:
    """The way to take, from the seconds of each.

    Args:
        seconds: As in `Speed`.
        processes: How many of a single thread there would be.

    >>> choice({"batched": 3.0, "in turn": 5.0, "threads": 2.9}, processes=2)
    'batched'
    """
    way = min((way for way in seconds if way != "threads"), key=seconds.__getitem__)
    clearly = seconds["threads"] < _WORTH_THREADS * seconds[way] / processes
    return "threads" if clearly and seconds[way] > _SECONDS_WORTH_THREADS else way


def _shortest(steps: Mapping[str, Callable[[], float]]) -> dict[str, float]:
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


def _stepper(population: Population) -> Callable[[], None]:
    """A function that takes a step."""
    lanes, update = population
    indices = lanes.batches().at(0)
    numbers = count(1)

    def step() -> None:
        _, gradients = lanes.gradients(indices)
        update(lanes.parameters, gradients, next(numbers))
        if lanes.device.type == "cuda":
            torch.cuda.synchronize(lanes.device)

    return step


def _timed(step: Callable[[], None], clock: Callable[[], float], threads: int | None, lanes: int = 1) -> float:
    """The seconds that a step takes for each lane with so many threads; None for as many as torch uses."""
    with torch_threads(threads):
        begun = clock()
        step()
        return (clock() - begun) / lanes


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Have torch use so many threads inside.

    Args:
        count: How many; None for as many as it uses anyway.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def cores() -> int:
    """The cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
