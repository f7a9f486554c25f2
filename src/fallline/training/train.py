"""Training a population of lanes: batches, gradients, updates, what becomes of each lane."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from fallline.training.arguments import as_count
from fallline.training.curves import Curves, Recorder
from fallline.training.errors import ProblemError
from fallline.training.generators import seeded
from fallline.training.lanes import Lanes, Mask
from fallline.training.task import SplitTask

Progress = Callable[[int, int], None]

BOUND = 1e4
_MOST_LOSSES = 64  # steps whose losses are looked at together
_NEVER = 2**62
_SMALLEST_SCALE = 1e-6  # of a loss, so that a lane that starts at a loss of 0 is not out of bounds at once


class Update(Protocol):
    """How the parameters of all lanes change in one step, each lane by its own rule and hyperparameters."""

    def __call__(self, parameters: list[Tensor], gradients: list[Tensor], step: int) -> None:
        """Change `parameters` [K, ...] in place by their `gradients` [K, ...]; steps are counted from 1."""

    def evaluated(self, parameters: list[Tensor]) -> AbstractContextManager[None]:
        """Let parameters hold what each lane is to be evaluated at inside a `with`, such as averaged weights.

        Args:
            parameters: Tensors [K, ...].
        """

    def keep(self, mask: Mask) -> None:
        """Forget some lanes; the next call gets the others only, in new tensors.

        Args:
            mask: False [K] for those that are forgotten.
        """


def train(
    lanes: Lanes,
    update: Update,
    *,
    steps: int | None = None,
    start: int = 0,
    evaluate_every: int | None = None,
    progress: Progress | None = None,
) -> Curves:
    """Train lanes, and evaluate them on the way.

    The validation split is evaluated before the first step, every epoch and at the end.

    A lane has diverged once a loss is not finite, or exceeds its first loss by 1e4 times that loss's size or, where it
    is larger, that of its loss on the validation split before the first step. From there on its curve is NaN; at the
    next evaluation it is dropped from `lanes` and from `update`, or at once where its numbers make the user's code
    raise. Its neighbours' numbers do not change, beyond the last digit where the width of the batched operations
    changes.

    Whatever a model draws, in training and in evaluation, follows from a lane's seed, the step and the split: a lane
    has the same alone and in any company, and `fallline.fit` with its seed has it too.

    Args:
        lanes: The population, which is changed.
        update: How its parameters change in a step.
        steps: Updates to come to, those of the problem's number of epochs by default.
        start: How many of them were made by earlier calls.
        evaluate_every: Steps between two evaluations; by default those of an epoch, or a twentieth of all where the
            problem has one epoch.
        progress: Called as progress(step, steps) after each step.

    Returns:
        The curves of all lanes.

    Raises:
        BatchingError: Batched lanes turn out to share what each should have for itself: train them in turn.
        ProblemError: A count is not a whole number in its range, or the model, the loss, the step or the metric fails
            on finite numbers.

    >>> from contextlib import nullcontext
    >>> from fallline.problems import digits
    >>> from fallline.training import BatchedLanes
    >>> class Descent:
    ...     def __call__(self, parameters, gradients, step):
    ...         for parameter, gradient in zip(parameters, gradients):
    ...             parameter -= 0.1 * gradient
    ...     def evaluated(self, parameters):
    ...         return nullcontext()
    ...     def keep(self, mask):
    ...         pass
    >>> curves = train(BatchedLanes(digits(), seeds=[0, 1]), Descent(), steps=34)
    >>> curves.steps.tolist(), curves.valid_metric.shape
    ([0, 17, 34], (2, 3))
    """
    problem = lanes.problem
    steps = problem.steps if steps is None else as_count("steps", steps)
    every = None if evaluate_every is None else as_count("evaluate_every", evaluate_every)
    if not 0 <= start <= steps:
        raise ProblemError(f"start: must be from 0 to steps, which is {steps}, got {start}.")
    # From here on start the generators for what is drawn beside the lanes, as an update of one's own may.
    own = int(np.random.SeedSequence((start, *lanes.seeds)).generate_state(1, np.uint64)[0])
    with seeded(own, lanes.device, libraries=True):
        run = _Run(lanes, update, evaluation_points(problem, steps, start, every))
        for step in range(start + 1, steps + 1):
            if not len(lanes):
                break
            run.step(step)
            if progress is not None:
                progress(step, steps)
    return run.recorder.curves()


class _Run:
    """The lanes that are left, and what is known of them since the last point."""

    _total: Tensor
    _diverged_at: Tensor
    _losses: list[Tensor]
    _sizes: list[int]

    def __init__(self, lanes: Lanes, update: Update, points: list[int]) -> None:
        self.lanes = lanes
        self.update = update
        self.batches = lanes.batches()
        self.recorder = Recorder(lanes.count, points, [self.batches.samples(point) for point in points])
        self._begin_interval()
        if self.recorder.wants(0) and len(lanes):
            self._evaluate(0)

    def step(self, step: int) -> None:
        """Take one update of all lanes, and evaluate them where a point is due."""
        lanes = self.lanes
        indices = self.batches.at(step - 1)
        losses, gradients = lanes.gradients(indices, step)
        self._watch(step, losses, indices.shape[1])
        self.update(lanes.parameters, gradients, step)
        if self.recorder.wants(step):
            self._evaluate(step)
            self._drop()
            self._begin_interval()
        elif lanes.failed:
            self._part(step)

    def _watch(self, step: int, losses: Tensor, batch: int) -> None:
        """Keep the losses [K] of a step; they are looked at together, as each look costs as much as a small step."""
        if self.lanes.first_loss is None:
            self.lanes.first_loss = losses
            if self.recorder.wants(0):
                self.recorder.write(0, self.lanes.index, train_loss=losses)
        self._losses.append(losses)
        self._sizes.append(batch)
        if len(self._losses) == _MOST_LOSSES:
            self._look(step)

    def _look(self, last: int) -> None:
        """Add up the losses kept, up to step `last`, and mark the lanes that were out of bounds."""
        first = self.lanes.first_loss
        if not self._losses or first is None:
            return
        losses = torch.stack(self._losses)
        scale = first.abs().clamp_min(_SMALLEST_SCALE)
        if self.lanes.untrained_loss is not None:  # a first batch, of one example say, may happen to be learnt already
            scale = torch.fmax(scale, self.lanes.untrained_loss.abs())
        sound = losses.isfinite() & (losses <= first + BOUND * scale)
        steps = torch.arange(last + 1 - len(losses), last + 1, device=losses.device)
        left = torch.where(sound, _NEVER, steps[:, None]).amin(0)
        self._diverged_at = torch.where((self._diverged_at < 0) & (left < _NEVER), left, self._diverged_at)
        shares = losses.double() * torch.tensor(self._sizes, device=losses.device)[:, None]
        # Added up one after the other, so that a lane's sum does not hang on how many stand beside it.
        self._total = torch.cat([self._total[None], shares]).cumsum(0)[-1]
        self._samples += sum(self._sizes)
        self._losses, self._sizes = [], []

    def _evaluate(self, step: int) -> None:
        self._part(step)
        if not len(self.lanes):
            return
        index = self.lanes.index
        with self.update.evaluated(self.lanes.parameters):
            quality = self.lanes.evaluate(self.lanes.problem.valid, step=step)
        self.lanes.check()
        if step == 0:
            self.lanes.untrained_loss = quality.loss.nan_to_num(0.0, 0.0, 0.0).to(self.lanes.device)
        self.recorder.diverge(index, torch.where(quality.loss.isfinite(), -1, step))
        self.recorder.write(step, index, valid_loss=quality.loss, valid_metric=quality.metric)
        if step:
            self.recorder.write(step, index, train_loss=self._total / self._samples)

    def _part(self, step: int) -> None:
        """Part with the lanes that left since the last point; moving the others costs more than a few of their steps.

        To ask a device for them in every step would hold it up as well.
        """
        self._look(step)
        self.recorder.diverge(self.lanes.index, self._diverged_at.cpu())
        self._drop()

    def _drop(self) -> None:
        """Forget the lanes that diverged, as the recorder knows them."""
        sound = self.recorder.sound(self.lanes.index)
        if sound.all():
            return
        here = sound.to(self.lanes.device)
        self._total, self._diverged_at = self._total[here], self._diverged_at[here]
        self.lanes.keep(sound.numpy())
        self.update.keep(sound.numpy())
        if self.lanes.streams != self.batches.seeds:
            self.batches = self.lanes.batches()

    def _begin_interval(self) -> None:
        lanes = self.lanes
        self._samples = 0
        self._losses, self._sizes = [], []
        self._total = torch.zeros(len(lanes), dtype=torch.float64, device=lanes.device)
        self._diverged_at = torch.full((len(lanes),), -1, device=lanes.device)


_MOST_IN_ONE_EPOCH = 20


def evaluation_points(problem: SplitTask, steps: int, start: int = 0, every: int | None = None) -> list[int]:
    """The steps after which to evaluate, of a run of `steps` that goes on from step `start`.

    That is before the first step, after every epoch, or `every` so many steps, and at the end. Where one epoch is all,
    as with a stream, there are 20 intervals of equal length instead. Problems that differ in their batch size alone
    have equally many points, so a step may be given more than once.

    >>> from fallline.problems import digits
    >>> evaluation_points(digits(epochs=3), 51)
    [0, 17, 34, 51]
    >>> evaluation_points(digits(epochs=3), 40, start=17)
    [34, 40]
    >>> evaluation_points(digits(epochs=1), 17)
    [0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 8, 9, 10, 11, 12, 13, 14, 14, 15, 16, 17]
    """
    if every is None and problem.epochs == 1:
        points = [round(steps * point / _MOST_IN_ONE_EPOCH) for point in range(_MOST_IN_ONE_EPOCH + 1)]
    else:
        points = [*range(0, steps, every or problem.steps_per_epoch), steps]
    return [point for point in points if point > start or start == 0]
