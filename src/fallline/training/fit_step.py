"""One step of an ordinary training loop, with any torch optimizer."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from fallline.optim import LookAheadNesterov
from fallline.optim.newton import Newton
from fallline.training.arguments import required_arguments
from fallline.training.counter_random import run_keys, step_keys
from fallline.training.drawing import drawing, replaceable, reseed_for_update
from fallline.training.lane_masks import LaneMasks
from fallline.training.modules import densify
from fallline.training.problem import Step
from fallline.training.python_state import differing, python_state

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
        self._dense: bool | None = (
            False if isinstance(optimizer, _TAKE_SPARSE) else None
        )  # None: not known before the first step
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
                    if self._dense is None:
                        self._dense = self._has_sparse()
                    if self._dense:
                        densify(self._model.parameters())
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

    def _has_sparse(self) -> bool:
        gradients = (parameter.grad for parameter in self._model.parameters())
        return any(gradient is not None and gradient.layout != torch.strided for gradient in gradients)

    def _step_from(self, closure: Callable[[], Tensor]) -> None:
        """Step from the gradients that are there; some (SAM) want a closure beside them, and say so by failing."""
        if self._wants_both is None:
            self._wants_both = self._fails_without()
            if not self._wants_both:
                return
        given: list[Any] = [closure] if self._wants_both else []
        self._optimizer.step(*given)

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
