"""What a run of an arm takes: its optimizer, the examples in a batch, and its steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fallline.schedules import linear_scaling
from fallline.training import Problem
from fallline.training.updates import LaneRule


@dataclass(frozen=True)
class Recipe:
    """All that a run takes: what moves it, the examples in a batch, and its steps."""

    lane: LaneRule
    batch: int
    steps: int


def batch_of(settings: Mapping[str, Any], problem: Problem) -> int:
    """The batch size of a run. Raises ValueError where there are fewer examples."""
    batch, examples = int(settings.get("batch", problem.batch)), problem.data.examples
    if batch > examples:
        raise ValueError(f"'batch' is {batch}, and the problem has {examples} examples to train on; give smaller ones")
    return batch


def rate_scale(settings: Mapping[str, Any], problem: Problem) -> float:
    """What a learning rate at the problem's own batch size is multiplied with at the run's (Goyal et al., 2017)."""
    return linear_scaling(batch_of(settings, problem), problem.batch)


def run_steps(problem: Problem, batch: int, share: tuple[int, int] = (1, 1)) -> int:
    """Steps of a share of the problem's epochs: whole ones, at least one, so that all batch sizes see as many samples.

    A problem of a single epoch, such as a stream, is shared out by steps, at least one.

    >>> from fallline.problems import digits
    >>> run_steps(digits(), 64), run_steps(digits(), 128), run_steps(digits(), 64, (1, 9))
    (340, 180, 34)
    """
    numerator, denominator = share
    an_epoch = problem.with_batch(batch).steps_per_epoch
    if problem.epochs == 1:
        return max(1, an_epoch * numerator // denominator)
    return an_epoch * max(1, problem.epochs * numerator // denominator)
