"""How the learning rate goes over a run of `fallline.fit`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from fallline.schedules import Schedule

#: A schedule, a torch scheduler, or a function that makes one of an optimizer.
Rates = Schedule | LRScheduler | Callable[[torch.optim.Optimizer], LRScheduler]


class Scheduler:
    """Moves the learning rate after a step or after an epoch, as the schedule counts.

    A `Schedule` counts steps, and torch's OneCycleLR and CyclicLR do; every other scheduler of torch counts epochs, as
    its documentation has it, and ReduceLROnPlateau is told the validation loss. On a stream all count steps.

    Raises TypeError for what is no schedule, ValueError for a scheduler of another optimizer.
    """

    def __init__(self, schedule: Rates | None, optimizer: torch.optim.Optimizer, *, stream: bool) -> None:
        self._scheduler = None if schedule is None else _made(schedule, optimizer)
        by_step = isinstance(schedule, Schedule) or isinstance(self._scheduler, (OneCycleLR, CyclicLR))
        self._by_step = by_step or stream

    def after_step(self, loss: float) -> None:
        """An update was made; the batch had this loss before it."""
        if self._by_step:
            self._step(loss)

    def after_epoch(self, validation_loss: float) -> None:
        """An epoch ended."""
        if not self._by_step:
            self._step(validation_loss)

    def _step(self, loss: float) -> None:
        if isinstance(self._scheduler, ReduceLROnPlateau):
            self._scheduler.step(loss)
        elif self._scheduler is not None:
            self._scheduler.step()


def _made(schedule: Rates, optimizer: torch.optim.Optimizer) -> LRScheduler:
    if isinstance(schedule, Schedule):
        return schedule.drive(optimizer)
    made = schedule if isinstance(schedule, LRScheduler) or not callable(schedule) else schedule(optimizer)
    if not isinstance(made, LRScheduler):
        raise TypeError(
            f"schedule: got {type(made).__name__}; give one of fallline.schedules, a torch scheduler of this "
            "optimizer, or a function that takes the optimizer and returns a torch scheduler."
        )
    if made.optimizer is not optimizer:
        raise ValueError(
            "schedule: the torch scheduler drives another optimizer than the one that trains; make it of that one, or "
            "give a function, as schedule=lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 10)."
        )
    return made
