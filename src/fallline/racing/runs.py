"""Training many lanes of a race and scoring them."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fallline.racing.watch import Watcher
from fallline.training import Curves, Lanes, Problem, Split, lanes_for, train
from fallline.training.updates import LaneRule, LaneUpdate

#: Bytes that the parameters, gradients and states of lanes trained together may take.
_LANES_BUDGET = 2**30
#: Tensors like the parameters that a lane may need at once: itself, gradients twice, three states.
_COPIES = 6


@dataclass(frozen=True)
class Run:
    """One lane to train."""

    rule: LaneRule
    seed: int


@dataclass(frozen=True)
class Outcomes:
    """What K runs came to, in their order.

    `curves` as training leaves them; `scores` [K] and `examples` [K, n] are the metric on the split that was asked for,
    NaN where a run diverged, and None where there is no such thing.
    """

    curves: Curves
    scores: NDArray[np.float64] | None = None
    examples: NDArray[np.float64] | None = None

    @property
    def first_loss(self) -> NDArray[np.float64]:
        """The validation loss of each run before any step [K], in evaluation mode, so that dropout has no say."""
        return self.curves.valid_loss[:, 0]


def train_runs(
    problem: Problem, runs: Sequence[Run], watcher: Watcher, title: str, score_on: Split | None = None
) -> Outcomes:
    """Train every run for the problem's steps, as many lanes at once as memory allows, and score them on a split."""
    size = lanes_at_once(problem)
    watcher.stage(title, len(runs) * problem.steps)
    done = 0
    parts = []
    for start in range(0, len(runs), size):
        part = runs[start : start + size]
        begun, count = done, len(part)

        def tell(step: int, steps: int, begun: int = begun, count: int = count) -> None:
            watcher.advance(begun + step * count)

        parts.append(_population(problem, part, tell, score_on))
        done += count * problem.steps
        watcher.advance(done)
    return _joined(parts)


def lanes_at_once(problem: Problem) -> int:
    """How many lanes fit the memory that a population may take."""
    parameters = sum(p.numel() * p.element_size() for p in problem.build(0).parameters())
    return max(1, _LANES_BUDGET // max(1, parameters * _COPIES))


def make_lanes(problem: Problem, runs: Sequence[Run]) -> tuple[Lanes, LaneUpdate]:
    """A population for these runs, and what moves it."""
    lanes = lanes_for(problem, [run.seed for run in runs])
    return lanes, LaneUpdate(lanes.parameters, [run.rule for run in runs])


def seconds_per_lane_step(problem: Problem, runs: Sequence[Run], steps: int = 4) -> float:
    """Measure a few steps of a population of these runs, after one that warms up."""
    lanes, update = make_lanes(problem, runs[: lanes_at_once(problem)])
    batch = torch.arange(problem.batch).expand(len(lanes.streams), -1)
    start = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for step in range(steps + 1):
            if step == 1:
                start = time.perf_counter()
            _, gradients = lanes.gradients(batch)
            update(lanes.parameters, gradients, step + 1)
    return (time.perf_counter() - start) / steps / len(lanes)


def _population(
    problem: Problem, runs: Sequence[Run], tell: Callable[[int, int], None], score_on: Split | None
) -> Outcomes:
    lanes, update = make_lanes(problem, runs)
    curves = train(lanes, update, progress=tell)
    if score_on is None:
        return Outcomes(curves)
    scores = np.full(len(runs), np.nan)
    examples = None
    if len(lanes):
        quality = lanes.evaluate(score_on, examples=True)
        left = lanes.index.numpy()
        scores[left] = quality.metric.numpy()
        if quality.example_metric is not None:
            examples = np.full((len(runs), len(score_on)), np.nan)
            examples[left] = quality.example_metric.numpy()
    return Outcomes(curves, scores, examples)


def _joined(parts: list[Outcomes]) -> Outcomes:
    """The outcomes of several populations as those of one."""
    first = parts[0].curves
    rows = ("train_loss", "valid_loss", "valid_metric", "diverged_at")
    curves = Curves(
        steps=first.steps,
        samples=first.samples,
        **{n: np.concatenate([getattr(p.curves, n) for p in parts]) for n in rows},
    )
    scores, examples = (
        None if any(getattr(p, name) is None for p in parts) else np.concatenate([getattr(p, name) for p in parts])
        for name in ("scores", "examples")
    )
    return Outcomes(curves, scores, examples)
