"""Training many lanes of a race and scoring them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fallline.racing.watch import Watcher
from fallline.training import Curves, Lanes, Problem, Split, make_lanes, train
from fallline.training.updates import LaneRule, LaneUpdate

#: Bytes that the parameters, gradients and states of lanes trained together may take.
_LANES_BUDGET = 2**30
#: Tensors like the parameters that a lane may need at once: itself, gradients twice, three states.
_COPIES = 6
#: To estimate the cost: steps to warm up, fewest steps to time, seconds to go on for, lanes that take turns.
_WARM_UP, _FEWEST_TIMED, _SECONDS_TIMED, _LANES_TIMED = 2, 3, 0.3, 8


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
    problem: Problem,
    runs: Sequence[Run],
    watcher: Watcher,
    title: str,
    *,
    batched: bool,
    score_on: Split | None = None,
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

        parts.append(_trained(make_population(problem, part, batched), tell, score_on))
        done += count * problem.steps
        watcher.advance(done)
    return _joined(parts)


def lanes_at_once(problem: Problem) -> int:
    """How many lanes fit the memory that a population may take."""
    parameters = sum(p.numel() * p.element_size() for p in problem.build(0).parameters())
    return max(1, _LANES_BUDGET // max(1, parameters * _COPIES))


def make_population(problem: Problem, runs: Sequence[Run], batched: bool) -> tuple[Lanes, LaneUpdate]:
    """The lanes of these runs, and what moves them."""
    lanes = make_lanes(problem, [run.seed for run in runs], batched=batched)
    return lanes, LaneUpdate(lanes.parameters, [run.rule for run in runs])


def seconds_per_lane_step(problem: Problem, runs: Sequence[Run], batched: bool) -> float:
    """Time some steps of a population of these runs, after a few that warm up.

    On a busy machine single steps are held up for many times their length, so the mean is taken over a while.
    """
    # Lanes that take turns cost the same however many there are; some from all over the race will do.
    measured = runs[: lanes_at_once(problem)] if batched else runs[:: math.ceil(len(runs) / _LANES_TIMED)]
    lanes, update = make_population(problem, measured, batched)
    batch = torch.arange(problem.batch).expand(len(lanes.streams), -1)
    most, start = _WARM_UP + max(_FEWEST_TIMED, problem.steps // 10), 0.0
    for step in range(1, most + 1):
        _, gradients = lanes.gradients(batch)
        update(lanes.parameters, gradients, step)
        if step == _WARM_UP:
            start = time.perf_counter()
        seconds = time.perf_counter() - start
        if seconds > _SECONDS_TIMED and step >= _WARM_UP + _FEWEST_TIMED:
            break
    return seconds / (step - _WARM_UP) / len(lanes)


def _trained(
    population: tuple[Lanes, LaneUpdate], tell: Callable[[int, int], None], score_on: Split | None
) -> Outcomes:
    lanes, update = population
    curves = train(lanes, update, progress=tell)
    if score_on is None:
        return Outcomes(curves)
    scores = np.full(lanes.count, np.nan)
    examples = None
    if len(lanes):
        quality = lanes.evaluate(score_on, examples=True)
        left = lanes.index.numpy()
        scores[left] = quality.metric.numpy()
        if quality.example_metric is not None:
            examples = np.full((lanes.count, len(score_on)), np.nan)
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
    scores = None if parts[0].scores is None else np.concatenate([p.scores for p in parts if p.scores is not None])
    return Outcomes(curves, scores, _joined_examples(parts))


def _joined_examples(parts: list[Outcomes]) -> NDArray[np.float64] | None:
    """Each example's share in all parts; a part whose runs all diverged tells nothing of whether there are shares."""
    told = [p for p in parts if not p.curves.diverged.all()]
    shares = [p.examples for p in told if p.examples is not None]
    if not shares or len(shares) < len(told):
        return None
    width = shares[0].shape[1]
    return np.concatenate(
        [np.full((len(p.curves.diverged), width), np.nan) if p.examples is None else p.examples for p in parts]
    )
