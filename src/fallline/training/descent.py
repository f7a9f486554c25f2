"""How `fallline.fit` moves the weights: the optimizer, their average, the learning rate over the run, and one step."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from fallline.averaging import WeightAverage
from fallline.optim import LookAheadNesterov, ScheduleFree
from fallline.optim.generic import Optimizer
from fallline.optim.method_name import find_method
from fallline.optim.newton import Newton
from fallline.rules import keeps_average
from fallline.schedules import Schedule
from fallline.symbolic import Rule
from fallline.training.arguments import required_arguments
from fallline.training.counter_random import run_keys, step_keys
from fallline.training.drawing import LaneMasks, drawing, replaceable, reseed_for_update
from fallline.training.modules import densify, differing, python_state, trainable
from fallline.training.task import Step

#: What `fit` takes for an optimizer: a rule, a class, either's name, a function of the parameters, or one that is made.
Descent = Rule | str | torch.optim.Optimizer | Callable[..., torch.optim.Optimizer]


def as_optimizer(
    optimizer: Descent, model: nn.Module, hyperparameters: Mapping[str, Any], model_was_given: bool
) -> torch.optim.Optimizer:
    """The optimizer of the model's trainable parameters.

    Raises TypeError for what makes no optimizer and for hyperparameters that nobody would read, ValueError for an
    optimizer whose parameters are not the model's or whose average nobody could evaluate, LookupError for a name that
    there is no rule or class of.
    """
    if isinstance(optimizer, torch.optim.Optimizer):
        _check_free(hyperparameters, "it is made already; set them where it is made")
        _check_parameters(optimizer, model, model_was_given)
        _check_average(optimizer)
        return optimizer
    if isinstance(optimizer, str):
        optimizer = find_method(optimizer)
    if isinstance(optimizer, Rule):
        kind = ScheduleFree if keeps_average(optimizer) else Optimizer
        return kind(trainable(model), optimizer, **hyperparameters)
    if not callable(optimizer):
        raise TypeError(
            f"optimizer: got {type(optimizer).__name__}; give a rule or its name, a torch optimizer class, a function "
            "that takes the parameters and returns an optimizer, or an optimizer together with its model."
        )
    if not isinstance(optimizer, type):
        _check_free(hyperparameters, "a function sets its own; set them inside it")
    made = optimizer(trainable(model), **hyperparameters)
    if not isinstance(made, torch.optim.Optimizer):
        raise TypeError(
            f"optimizer: the function returned {type(made).__name__}; it must return a torch.optim.Optimizer, as "
            "lambda params: fallline.optim.Adam(params, lr=1e-3) does."
        )
    _check_average(made)
    return made


def _check_free(hyperparameters: Mapping[str, Any], why: str) -> None:
    if hyperparameters:
        raise TypeError(f"optimizer: fit was given {', '.join(hyperparameters)} for it, but {why}.")


def _check_average(optimizer: torch.optim.Optimizer) -> None:
    """Refuse a Schedule-Free rule in an optimizer that can't put its average into the weights."""
    if isinstance(optimizer, ScheduleFree):
        return
    of_group = (group.get("rule") for group in optimizer.param_groups)
    rule = next((rule for rule in of_group if isinstance(rule, Rule) and keeps_average(rule)), None)
    if rule is not None:
        raise ValueError(
            f"optimizer: it follows '{rule.name}', whose average is what is to be evaluated, and can't put that into "
            "the weights; give fit the rule itself, or make a fallline.optim.schedule_free.ScheduleFree of it."
        )


def _check_parameters(optimizer: torch.optim.Optimizer, model: nn.Module, model_was_given: bool) -> None:
    if not model_was_given:
        raise ValueError(
            "model: the optimizer holds the parameters of a model that fit does not know; give that model too, as "
            "fit(problem, optimizer, model=model), or give the optimizer's class or a rule."
        )
    known = {id(parameter) for parameter in model.parameters()}
    strange = sum(id(p) not in known for group in optimizer.param_groups for p in group["params"])
    if strange:
        raise ValueError(
            f"optimizer: {strange} of its parameters are not the model's; make it from this model's parameters() and "
            "after the model was moved or wrapped."
        )


#: The share of a run's steps that an average may look back over.
_LONGEST_WINDOW = 0.2


def as_average(averages: WeightAverage | float | None, model: nn.Module) -> WeightAverage | None:
    """The running average of the model's weights that is asked for; raises ValueError for another model's."""
    if averages is None:
        return None
    if not isinstance(averages, WeightAverage):
        return WeightAverage(model, averages)
    if averages.model is not model:
        raise ValueError(
            "averages: the WeightAverage is of another model than the one that is trained; give that one as model=, "
            "or give a decay, such as averages=0.99."
        )
    return averages


def warn_of_lag(average: WeightAverage | None, steps: int) -> None:
    """Warn of an average that looks back over much of its run, and so hangs behind the weights to its end."""
    if average is None or average.decay is None or average.window <= _LONGEST_WINDOW * (average.count + steps):
        return
    fitting = 1 - 1 / max(2.0, _LONGEST_WINDOW * steps)
    warnings.warn(
        f"averages: a decay of {average.decay:g} averages about the last {average.window:.0f} steps, and the run has "
        f"{steps}, so that the average, which is what is evaluated, lags behind the weights; give at most "
        f"{fitting:.2g}, train for longer, or leave averages out.",
        stacklevel=3,
    )


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


#: Classes of torch that take sparse gradients.
_TAKE_SPARSE = (torch.optim.SGD, torch.optim.Adagrad, torch.optim.SparseAdam)


class NotFiniteError(ArithmeticError):
    """The loss before a step was NaN or infinite; the step was not taken."""

    def __init__(self, loss: float) -> None:
        super().__init__(loss)
        self.loss = loss


class Stepper:
    """Forward, backward, step; what evaluates the batch more than once (LBFGS, Newton, look-ahead) does it here too.

    A closure is given to optimizers that need one alone: all others find the gradients there, as in a plain loop.
    """

    def __init__(self, model: nn.Module, loss: Step, optimizer: torch.optim.Optimizer, seed: int = 0) -> None:
        self._seed = seed
        self._steps = 0
        self._replaced = replaceable(model)
        #: Whether gradients are to be made dense; None before the first step, which tells.
        self._dense = False if isinstance(optimizer, _TAKE_SPARSE) else None
        self._model = model
        self._loss = loss
        self._optimizer = optimizer
        self._device = next(model.parameters()).device
        self._keys = run_keys(torch.tensor([seed], dtype=torch.int64, device=self._device))
        self._needs_closure = needs_closure(type(optimizer)) or bool(required_arguments(optimizer.step))
        self._wants_both: bool | None = None  # not known before the first step
        self._calls_backward = not isinstance(optimizer, Newton)  # which differentiates the loss itself, twice

    def step(self, inputs: Tensor, targets: Tensor) -> float:
        """Take one step on a batch; returns the loss that was evaluated first.

        Raises NotFiniteError if that loss is NaN or infinite. A line search may meet such losses further on.
        """
        inputs, targets = inputs.to(self._device), targets.to(self._device)
        met: list[float] = []
        self._steps += 1
        key = step_keys(self._keys, self._steps)[0]
        state = python_state(self._model) if self._steps == 1 else None

        def closure() -> Tensor:
            self._optimizer.zero_grad()
            # Whoever evaluates a batch several times has the same random numbers each time.
            draws = drawing(key, self._device, libraries=True, replaced=self._replaced)
            with torch.enable_grad(), draws:
                loss = self._loss(self._model, inputs.clone(), targets)  # a model may write into its inputs
                if not met:
                    met.append(float(loss.detach()))
                    if not math.isfinite(met[0]):
                        raise NotFiniteError(met[0])
                if self._calls_backward:
                    loss.backward()  # type: ignore[no-untyped-call]
                    if self._dense is not False:
                        self._dense = densify(self._model.parameters()) or self._dense is True
            if state is not None and isinstance(draws, LaneMasks):
                # What a pass changes may be the reason that a later one draws; else a first that draws nothing tells.
                self._replaced = draws.drew or differing(state, python_state(self._model)) is not None
            return loss

        if self._needs_closure:
            reseed_for_update(self._seed, self._steps, self._device)
            self._optimizer.step(closure)  # type: ignore[arg-type]  # torch's stubs want a number, its classes take both
        else:
            closure()
            reseed_for_update(self._seed, self._steps, self._device)
            self._step_from(closure)
        return met[0]

    def _step_from(self, closure: Callable[[], Tensor]) -> None:
        """Step from the gradients that are there; some (SAM) want a closure beside them, and say so by failing."""
        if self._wants_both is None:
            self._wants_both = self._fails_without()
        elif not self._wants_both:
            self._optimizer.step()
        if self._wants_both:
            self._optimizer.step(closure)  # type: ignore[arg-type]  # as above

    def _fails_without(self) -> bool:
        """Try the first step without a closure; whether it failed before it moved anything, and one could be given."""
        before = self._touched()
        try:
            self._optimizer.step()
        except (AssertionError, AttributeError, RuntimeError, TypeError, ValueError):
            if self._touched() != before or not _takes_one(self._optimizer.step):
                raise
            return True
        return False

    def _touched(self) -> list[int]:
        """What a step that has begun leaves other than it was: versions of parameters, and the number of states."""
        parameters = (parameter for group in self._optimizer.param_groups for parameter in group["params"])
        return [len(self._optimizer.state), *(parameter._version for parameter in parameters)]


def needs_closure(kind: type[torch.optim.Optimizer]) -> bool:
    """Whether the step of an optimizer class evaluates the model itself, first of all.

    Args:
        kind: The class.

    >>> needs_closure(torch.optim.LBFGS), needs_closure(torch.optim.SGD)
    (True, False)
    """
    return issubclass(kind, (LookAheadNesterov, Newton)) or len(required_arguments(kind.step)) > 1  # beside self


def _takes_one(step: Callable[..., object]) -> bool:
    try:
        inspect.signature(step).bind(None)
    except TypeError:
        return False
    return True
