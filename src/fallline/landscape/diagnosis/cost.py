"""What a diagnosis costs, said before it starts: gradients counted, and the time of a few."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from fallline._text import counted, listed, rough_range
from fallline.landscape.diagnosis.short_runs import can_batch
from fallline.training import Problem, lanes_that_fit, make_lanes, seeded

_LANES = 32
_FEWEST, _ROUNDS, _ENOUGH = 2, 8, 0.2
#: Between which multiples of what was foreseen the time is told to be.
_LEAST, _MOST = 0.7, 3.0
#: What a step of a small network alone takes beside its gradient, what the second derivative does, and the seconds of
#: each of many runs' steps, about.
_STEP, _TWICE, _BESIDE = 2.5, 2.0, 4e-5


@dataclass(frozen=True)
class Cost:
    """Gradients that a part takes.

    Attributes:
        many: Those of a batch, in one of many runs side by side.
        alone: Those of a batch, in a run alone.
        whole: Those of all examples that are measured on.
    """

    many: float = 0.0
    alone: float = 0.0
    whole: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.many + other.many, self.alone + other.alone, self.whole + other.whole)


_NOTHING = Cost()


@dataclass(frozen=True)
class Speeds:
    """Seconds of a gradient of each of the three kinds."""

    many: float
    alone: float
    whole: float

    def seconds(self, cost: Cost) -> float:
        """How long it takes."""
        return cost.many * self.many + cost.alone * self.alone + cost.whole * self.whole


def measured_speeds(problem: Problem, cost: Cost) -> Speeds:
    """Time a few gradients, of the kinds that are to be computed.

    Args:
        problem: What `measured_on` made, whose `valid` are the examples that are measured on.
        cost: What is to be computed.
    """
    many = alone = whole = 0.0
    with seeded(0, problem.training_device):
        lanes = make_lanes(problem, [0], batched=False)
        batch = lanes.batches().at(0)
        if cost.alone:
            alone = _STEP * _seconds(lambda: lanes.gradients(batch))
        if cost.many:
            fitting = min(_LANES, lanes_that_fit(problem))
            some = make_lanes(problem, [0] * fitting, batched=True) if can_batch(problem) else lanes
            many = _BESIDE + _seconds(lambda: some.gradients(batch)) / len(some)
        if cost.whole:
            every = problem.with_batch(min(len(problem.valid), len(problem.train)))
            measured = make_lanes(every, [0], batched=False)
            rows = torch.arange(every.batch, device=measured.device)[None]
            whole = _TWICE * _seconds(lambda: measured.gradients(rows))
    return Speeds(many, alone, whole)


def _seconds(work: Callable[[], object]) -> float:
    """The median of several after the first, which warms up; of one where each takes long."""
    found: list[float] = []
    while len(found) < _FEWEST or (len(found) < _ROUNDS and sum(found) < _ENOUGH):
        begun = time.perf_counter()
        work()
        found.append(time.perf_counter() - begun)
    return statistics.median(found[1:])


def told(
    cost: Cost, speeds: Speeds, batch: int, examples: int, *, more: Cost = _NOTHING, where: Sequence[str] = ()
) -> str:
    """What all parts cost, in a sentence, and what they cost more at most, and where they do.

    >>> speeds = Speeds(many=0.001, alone=0.001, whole=0.01)
    >>> told(Cost(many=1000.0, whole=80.0), speeds, batch=64, examples=512)
    'About 1,000 gradients of 64 examples and 80 of 512 are to be computed, in 1 to 5 seconds.'
    >>> told(Cost(whole=90.0), speeds, 64, 512, more=Cost(many=2000.0), where=["at a saddle"]).partition("; ")[2]
    'at most 2,000 of 64 more, in 1 to 6 seconds, where at a saddle.'
    """
    seconds = speeds.seconds(cost)
    (first, size), *others = _counts(cost, batch, examples)
    parts = [f"{first:,.0f} gradients of {counted(size, 'example')}"]
    parts += [f"{count:,.0f} of {size:,}" for count, size in others]
    told = f"About {listed(parts)} are to be computed, in {_range(seconds)}"
    if more != _NOTHING:
        beyond = listed([f"{count:,.0f} of {size:,}" for count, size in _counts(more, batch, examples)])
        told += f"; at most {beyond} more, in {_range(speeds.seconds(more))}, where {listed(where, 'or')}"
    return f"{told}."


def _counts(cost: Cost, batch: int, examples: int) -> list[tuple[float, int]]:
    """How many gradients there are, of how many examples each."""
    counts = [(cost.many + cost.alone, batch), (cost.whole, examples)]
    return [(count, size) for count, size in counts if count]


def _range(seconds: float) -> str:
    return rough_range(_LEAST * seconds, _MOST * seconds)
