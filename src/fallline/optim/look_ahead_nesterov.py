"""Nesterov's momentum as the textbook prints it: the gradient is evaluated where momentum is about to go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from fallline.optim.documented import documented
from fallline.optim.engine import check_interval
from fallline.optim.hyperparameters import SCHEDULE_ROUNDING
from fallline.optim.states import own


@documented(momentum="Factor μ of the velocity, at least 0 and less than 1; may differ by group, as lr may.")
class LookAheadNesterov(torch.optim.Optimizer):
    r"""v ← μv - η∇L(θ + μv); θ ← θ + v, with the closure evaluated at the look-ahead point θ + μv.

    The closure is torch's: it clears the gradients, runs the model, calls backward and returns the loss, which `step`
    hands on; that is the loss at the look-ahead point. Between steps the parameters rest at θ, the state
    "velocity" is v. (Nesterov, 1983, in the form of Sutskever et al., 2013. Not the Lookahead of Zhang et al., 2019,
    which averages slow and fast weights.)

    **Against `fallline.optim.SGD(nesterov=True)`**, the rule `fallline.rules.nesterov`: b ← μb + g; φ ← φ - η(g + μb).
    That one stores the look-ahead point itself, φ = θ + μv, so it needs no closure, and v = -ηb. Put both in:

        θ' + μv' = θ + (1 + μ)v' = φ - μv + (1 + μ)(μv - ηg) = φ + μ²v - (1 + μ)ηg = φ - η(g + μ(μb + g)).

    So while η and μ stay the same and both start with v = b = 0, each path is the other's: φ = θ + μv,
    θ = φ + ημb. When η changes they part: v keeps the length it was given, -ηb is stretched by the new η over the old.
    When μ changes, φ was formed with the old one.

    After an error in the closure the parameters are as before the step.

    Raises:
        ValueError: A hyperparameter is out of its range.

    >>> p = torch.nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = LookAheadNesterov([p], lr=0.5, momentum=0.5)
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = (p**2).sum() / 2
    ...     loss.backward()
    ...     return loss
    >>> for _ in range(2):
    ...     loss = optimizer.step(closure)
    >>> p.item(), loss.item()                   # 1 -> 0.5; then v = -0.25 - 0.5 * 0.25 at the point 0.25
    (0.125, 0.03125)
    """

    def __init__(self, params: ParamsT, lr: float = 1e-3, *, momentum: float = 0.9) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a param group, as torch's optimizers do."""
        if isinstance(param_group, dict):
            param_group = dict(param_group)
            _check({**self.defaults, **param_group})
        super().add_param_group(param_group)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load copies of what a state dict holds, so that its tensors may be used on; else as torch's optimizers do."""
        super().load_state_dict(state_dict)
        own(self.state)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Evaluate the closure at the look-ahead point, and step from where the parameters rest.

        Returns:
            The loss at the look-ahead point.

        Raises:
            TypeError: There is no closure.
        """
        if closure is None:
            raise TypeError(
                "LookAheadNesterov.step needs a closure, to evaluate the gradient at the look-ahead point: pass a "
                "function that clears the gradients, runs the model, calls backward() and returns the loss. "
                "fallline.optim.SGD(..., momentum=0.9, nesterov=True) takes the same path without one"
            )
        for group in self.param_groups:
            _check(group)
        loss = self._loss_ahead(closure)
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                if "velocity" not in self.state[p]:
                    self.state[p]["velocity"] = torch.zeros_like(p)
                velocity: Tensor = self.state[p]["velocity"]
                velocity.mul_(group["momentum"]).add_(p.grad, alpha=-group["lr"])
                p.add_(velocity)
        return loss

    def _loss_ahead(self, closure: Callable[[], Any]) -> Any:
        """Call the closure with the parameters at θ + μv; they are put back to the bit, which subtracting would not."""
        moved = [
            (p, p.clone(), self.state[p]["velocity"], group["momentum"])
            for group in self.param_groups
            for p in group["params"]
            if "velocity" in self.state.get(p, {})
        ]
        try:
            for p, _, velocity, momentum in moved:
                p.add_(velocity, alpha=momentum)
            with torch.enable_grad():
                return closure()
        finally:
            for p, rest, _, _ in moved:
                p.copy_(rest)


def _check(group: dict[str, Any]) -> None:
    check_interval("lr", group["lr"], -SCHEDULE_ROUNDING, float("inf"))
    check_interval("momentum", group["momentum"], 0.0, 1.0)
