"""One step of an ordinary training loop, with any torch optimizer."""

from __future__ import annotations

import inspect
import math

import torch
from torch import Tensor, nn

from fallline.optim.newton import Newton
from fallline.training.counter_random import run_keys, step_keys
from fallline.training.lane_masks import drawing, replaceable, reseed_for_update
from fallline.training.modules import densify
from fallline.training.problem import Step


#: Classes of torch that take sparse gradients.
_TAKE_SPARSE = (torch.optim.SGD, torch.optim.Adagrad, torch.optim.SparseAdam)


class NotFiniteError(ArithmeticError):
    """The loss before a step was NaN or infinite; the step was not taken."""

    def __init__(self, loss: float) -> None:
        super().__init__(loss)
        self.loss = loss


class Stepper:
    """Forward, backward, step; what evaluates the batch more than once (LBFGS, Newton, look-ahead) does it here too."""

    def __init__(self, model: nn.Module, loss: Step, optimizer: torch.optim.Optimizer, seed: int = 0) -> None:
        self._seed = seed
        self._steps = 0
        self._replaced = replaceable(model)
        self._dense = not isinstance(optimizer, _TAKE_SPARSE)
        self._model = model
        self._loss = loss
        self._optimizer = optimizer
        self._device = next(model.parameters()).device
        self._keys = run_keys(torch.tensor([seed], dtype=torch.int64, device=self._device))
        self._takes_closure = "closure" in inspect.signature(optimizer.step).parameters
        self._calls_backward = not isinstance(optimizer, Newton)  # which differentiates the loss itself, twice

    def step(self, inputs: Tensor, targets: Tensor) -> float:
        """Take one step on a batch; returns the loss that was evaluated first.

        Raises NotFiniteError if that loss is NaN or infinite. A line search may meet such losses further on.
        """
        inputs, targets = inputs.to(self._device), targets.to(self._device)
        met: list[float] = []
        self._steps += 1
        key = step_keys(self._keys, self._steps)[0]

        def closure() -> Tensor:
            self._model.zero_grad()
            # Whoever evaluates a batch several times has the same random numbers each time.
            with drawing(key, self._device, libraries=True, replaced=self._replaced):
                loss = self._loss(self._model, inputs.clone(), targets)  # a model may write into its inputs
                if not met:
                    met.append(float(loss.detach()))
                    if not math.isfinite(met[0]):
                        raise NotFiniteError(met[0])
                if self._calls_backward:
                    loss.backward()  # type: ignore[no-untyped-call]
                    if self._dense:
                        densify(self._model.parameters())
            return loss

        if self._takes_closure:
            reseed_for_update(self._seed, self._steps, self._device)
            self._optimizer.step(closure)  # type: ignore[arg-type]  # torch's stubs want a number, its classes take both
        else:
            closure()
            reseed_for_update(self._seed, self._steps, self._device)
            self._optimizer.step()
        return met[0]
