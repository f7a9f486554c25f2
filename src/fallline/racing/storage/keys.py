"""What a run is known by: a hash of all that settles its numbers.

A problem is told by what a short run computes, by its data, and by the source of the user's own code. What shows only
later than in those few steps and stands in none of that code is not seen.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fallline._version import __version__
from fallline.racing.runs import population, run_of
from fallline.racing.storage.own_code import own_code
from fallline.racing.storage.written import content, written
from fallline.symbolic import Rule, walk
from fallline.training import Problem, make_lanes, torch_threads, train

if TYPE_CHECKING:
    from fallline.racing.arms import Arm
    from fallline.racing.runs import Run
    from fallline.schedules import Schedule
    from fallline.training.updates import LaneRule

_SHORT = 3  # steps


def digest(parts: Any) -> str:
    """A hash of plain data.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def problem_key(problem: Problem) -> str:
    """What a problem is known by.

    >>> from fallline.problems import digits
    >>> problem_key(digits()) == problem_key(digits()), problem_key(digits()) == problem_key(digits(epochs=3))
    (True, False)
    """
    metric, data = problem.metric, problem.data
    second = [] if data.order.sampler is None and data.reader is None else _second_epoch(problem)
    return digest({
        "short run": _short_run(problem),
        "data": [content(part) for split in problem.splits().values() for part in (split.inputs, split.targets)],
        "second epoch": second,
        "code": written([problem.model, problem.loss, problem.step, metric.function]),
        "reading": own_code([data.reader, data.order.sampler]),
        "metric": [metric.name, metric.higher_is_better],
        "length": [problem.epochs, problem.shuffle, data.order.drop_last, *([] if data.kept is None else [data.kept])],
        "manner": [problem.precision, problem.training_device.type],
        "versions": [__version__, torch.__version__],
    })  # fmt: skip


class Keys:
    """What the runs of a race are known by.

    Args:
        problem: What is trained.
        known: Its key.
        arms: Who races.
    """

    def __init__(self, problem: Problem, known: str, arms: Sequence[Arm]) -> None:
        self.problem = known
        self.arms = {arm.name: _makers(arm, problem) for arm in arms}

    def of(self, run: Run, *, batched: bool, scored: bool) -> str:
        """The key of a run, in which its arm's name has no say.

        Args:
            run: The run.
            batched: Whether it is trained side by side with others, which rounds otherwise.
            scored: Whether it is evaluated on the test split.
        """
        lane = _lane(run.lane, run.steps)
        return digest([self.problem, self.arms[run.arm], lane, run.batch, run.steps, run.seed, batched, scored])

    def question(self, planned: Mapping[str, Sequence[Run]], asked: Mapping[str, Any]) -> str:
        """What a race is known by.

        Args:
            planned: The runs of each arm that are known before it, by the arms' names, in order.
            asked: What else was asked, as plain data.
        """
        runs = [[name, [self.of(run, batched=False, scored=False) for run in own]] for name, own in planned.items()]
        return digest([self.problem, runs, dict(asked)])


def _makers(arm: Arm, problem: Problem) -> list[Any] | None:
    """Classes and functions that make optimizers: their names, their source, and what a short run of theirs computes.

    None for an arm of rules alone, which stand in each run's key.
    """
    run = run_of(arm, {name: dimension.at(0.5) for name, dimension in arm.space.items()}, problem, 0)
    lane: LaneRule | None = run.lane
    makers: list[Any] = []
    while lane is not None:
        makers += [] if isinstance(lane.rule, Rule) else [lane.rule]
        lane = None if lane.then is None else lane.then[1]
    if not makers:
        return None
    names = [getattr(one, "__qualname__", "") for one in makers]
    try:
        with torch_threads(1):
            lanes, update = population(problem, [run], False)
            curves = train(lanes, update, steps=min(_SHORT, run.steps), evaluate_every=1)
        numbers = [f"{number:.3e}" for number in (*curves.train_loss[0], *curves.valid_loss[0])]
    except Exception as error:  # what can't be raced is told by the race
        numbers = [type(error).__name__]
    return [names, written(makers), numbers]


def _lane(lane: LaneRule, steps: int) -> list[Any]:
    made = _formula(lane.rule, tuple(lane.static.items())) if isinstance(lane.rule, Rule) else None
    values = {name: written([value]) for name, value in lane.values.items()}
    then = None if lane.then is None else [lane.then[0], _lane(lane.then[1], steps)]
    return [made, values, _factors(lane.schedule, steps), then]


@functools.lru_cache(maxsize=512)
def _formula(rule: Rule, static: tuple[tuple[str, Any], ...]) -> str:
    """A rule by its traced formula, which holds all of its numbers."""
    graph = rule.trace(**dict(static))
    numbers: dict[Any, int] = {}
    nodes = []
    for node in walk(graph.roots):
        numbers[node] = len(numbers)
        nodes.append([node.operation, repr(node.value), [numbers[argument] for argument in node.args]])
    states = [[state.name, repr(state.kind), repr(state.fill)] for state in rule.states]
    return digest([nodes, [numbers[root] for root in graph.roots], states])


@functools.lru_cache(maxsize=512)
def _factors(schedule: Schedule | None, steps: int) -> str | None:
    """A hash of a schedule's factors, which most runs of a race share."""
    return None if schedule is None else digest([schedule(step) for step in range(steps)])


def _second_epoch(problem: Problem) -> list[str]:
    """The second epoch's first batch, where a sampler or random augmentation has a say in it."""
    numbers = problem.batches([0]).at(problem.steps_per_epoch)[0]
    batch = problem.data.read(numbers, 0, 1)
    return [content(part) for part in (numbers, batch.inputs, batch.targets)]


def _short_run(problem: Problem) -> list[str]:
    """Losses, gradients' sizes and quality over a few steps; four digits, lest another processor's rounding show."""
    descent = _Descent()
    with torch_threads(1):
        lanes = make_lanes(problem, [0], batched=False)
        curves = train(lanes, descent, steps=min(_SHORT, problem.steps), evaluate_every=1)
    rows = (curves.train_loss[0], curves.valid_loss[0], curves.valid_metric[0])
    return [f"{number:.3e}" for number in (*descent.sizes, *(float(one) for row in rows for one in row))]


class _Descent:
    """Steps of a hundredth of each tensor's size, whatever the gradient's is."""

    def __init__(self) -> None:
        self.sizes: list[float] = []

    def __call__(self, parameters: list[Tensor], gradients: list[Tensor], step: int) -> None:
        """Take a step."""
        for parameter, gradient in zip(parameters, gradients, strict=True):
            size = float(gradient.norm())
            self.sizes.append(size)
            if size > 0:
                parameter -= 0.01 * float(parameter.norm()) / size * gradient

    def evaluated(self, parameters: list[Tensor]) -> AbstractContextManager[None]:
        """The parameters as they are."""
        return nullcontext()

    def keep(self, mask: Any) -> None:
        """Nothing is held."""
