"""The fingerprint of a race: equal where, and only where, all that settles its numbers is equal."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch

from fallline._version import __version__
from fallline.racing.arms.arm import Arm
from fallline.racing.effort import Effort
from fallline.racing.storage.identity import digest, identity
from fallline.training import Problem, make_lanes


def fingerprint(problem: Problem, arms: Sequence[Arm], effort: Effort, seed: int, settings: Mapping[str, Any]) -> str:
    """A hash of each part of a race, as JSON: data, model, loss and metric, length, arms, effort, seed and so on.

    A problem file read in another process gives the same fingerprint, an edited one another.

    >>> from fallline.problems import digits
    >>> there, here = (fingerprint(digits(), (), Effort(4, 2, 3), seed, {}) for seed in (0, 1))
    >>> differences(there, here)
    ['seed']
    """
    parts = {
        "data": {name: [split.inputs, split.targets] for name, split in problem.splits().items()},
        "model": [problem.model, problem.build(0), problem.precision],
        "loss and metric": [*_quality(problem), problem.target],
        "length": [problem.batch, problem.epochs, problem.shuffle],
        "arms": list(arms),
        "effort": asdict(effort),
        "seed": seed,
        "settings": dict(settings),
        "versions": [__version__, torch.__version__.split("+")[0], platform.python_version_tuple()[:2]],
    }
    return json.dumps({name: digest(json.dumps(identity(part)).encode()) for name, part in parts.items()})


def differences(there: str, here: str) -> list[str]:
    """The parts in which two fingerprints differ."""
    first, second = json.loads(there), json.loads(here)
    return [name for name in {**first, **second} if first.get(name) != second.get(name)]


def _quality(problem: Problem) -> list[Any]:
    metric = problem.metric
    untrained = make_lanes(problem, [0], batched=False).evaluate(problem.valid)
    # Of numbers that are summed in the order that the threads happen to have, the first digits.
    first = [f"{float(value):.4g}" for value in (untrained.loss[0], untrained.metric[0])]
    return [problem.loss, problem.step, metric.name, metric.function, metric.higher_is_better, first]
