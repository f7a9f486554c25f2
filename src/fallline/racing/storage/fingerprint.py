"""The fingerprint of a race: equal where, and only where, all that settles its numbers is equal."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from fallline._version import __version__
from fallline.racing.arms import Arm
from fallline.racing.effort import Effort
from fallline.racing.storage.identity import identity
from fallline.racing.storage.sources import Sources
from fallline.training import Problem, make_lanes

_UNTRAINED, _UNKNOWN = "untrained scores", "unknown"
#: What is unknown where they are too many to be read.
TOO_MANY = "more source files than are read"
#: Between two ways of summing the same numbers, as other threads do.
_RELATIVE_TOLERANCE = 1e-3


def fingerprint(problem: Problem, arms: Sequence[Arm], effort: Effort, seed: int, settings: Mapping[str, Any]) -> str:
    """A hash of each part of a race, as JSON: data, model, loss and metric, length, arms, effort, seed and so on.

    A problem file read in another process gives the same fingerprint, an edited one another. Beside the hashes stand
    the loss and the metric of the untrained model, and the types of what can't be told apart, if there is any.

    >>> from fallline.problems import digits
    >>> there, here = (fingerprint(digits(), (), Effort(4, 2, 3), seed, {}) for seed in (0, 1))
    >>> differences(there, here)
    ['seed']
    """
    metric = problem.metric
    parts = {
        "data": {name: [split.inputs, split.targets] for name, split in problem.splits().items()},
        "model": [problem.model, problem.build(0), problem.precision],
        "loss and metric": [
            problem.loss, problem.step, metric.name, metric.function, metric.higher_is_better, problem.target,
        ],
        "length": [problem.batch, problem.epochs, problem.shuffle, *_batches(problem)],
        "device": problem.training_device.type,
        "arms": list(arms),
        "effort": asdict(effort),
        "seed": seed,
        "settings": dict(settings),
        "versions": [__version__, torch.__version__.split("+")[0], platform.python_version_tuple()[:2]],
    }  # fmt: skip
    sources = Sources()
    told = {name: identity(part, sources) for name, part in parts.items()}
    if sources.too_many:  # so that it does not hang on how far the reading came
        told = {name: identity(part, sources) for name, part in parts.items()}
    unknown = sorted({kind for one in told.values() for kind in one.unknown})
    unknown += [TOO_MANY] if sources.too_many else []
    return json.dumps(
        {**{name: one.digest for name, one in told.items()}, _UNTRAINED: _untrained(problem), _UNKNOWN: unknown}
    )


def _batches(problem: Problem) -> list[Any]:
    """The second epoch's first batch, where a sampler or random augmentation has a say in it, and whether one drops."""
    data = problem.data
    dropped = ["drop_last"] if data.order.drop_last else []
    if data.order.sampler is None and data.reader is None:
        return dropped
    numbers = problem.batches([0]).at(problem.steps_per_epoch)[0]
    batch = data.read(numbers, 0, 1)
    return [*dropped, numbers, batch.inputs, batch.targets]


def differences(there: str, here: str) -> list[str]:
    """The parts in which two fingerprints differ; numbers that differ by rounding do not."""
    first, second = json.loads(there), json.loads(here)
    return [name for name in {**first, **second} if not _same(name, first.get(name), second.get(name))]


def unknown(fingerprint: str) -> list[str]:
    """The types of what two races of this fingerprint may still differ in."""
    return list(json.loads(fingerprint).get(_UNKNOWN, ()))


def _same(name: str, there: Any, here: Any) -> bool:
    if name != _UNTRAINED or there is None or here is None:
        return bool(there == here)
    return np.allclose(there, here, rtol=_RELATIVE_TOLERANCE, atol=0.0, equal_nan=True)


def _untrained(problem: Problem) -> list[float]:
    found = make_lanes(problem, [0], batched=False).evaluate(problem.valid)
    return [float(found.loss[0]), float(found.metric[0])]
