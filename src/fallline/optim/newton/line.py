"""The loss along a direction."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fallline.optim.newton.closure import Closure, evaluate, gradients_of
from fallline.optim.newton.direction import Direction
from fallline.optim.newton.local_model import LocalModel


class Line:
    """φ(α) = L(θ + αd), from where the parameters stood when it was made; to ask for it moves them to θ + αd."""

    def __init__(self, closure: Closure, model: LocalModel, direction: Direction) -> None:
        self._closure = closure
        self.model = model
        self._start = [p.clone() for p in model.params]
        parts = torch.split(direction.vector, [p.numel() for p in model.params])
        self._parts = [part.view(p.shape) for part, p in zip(parts, model.params, strict=True)]
        self.direction = direction
        self.loss_before = float(model.loss)
        self.slope_before = min(0.0, float(model.gradient @ direction.vector))
        self.evaluations = 0
        self._latest: tuple[float, Tensor] | None = None

    def predicted(self, length: float) -> float:
        """The change of the loss that the slope promises, and the curvature too where it leads out of a saddle."""
        return length * self.slope_before + length**2 * self.direction.escape / 2

    def move(self, length: float) -> None:
        """Put the parameters at θ + αd: at 0, just where they were."""
        for p, start, part in zip(self.model.params, self._start, self._parts, strict=True):
            p.copy_(start if length == 0 else start.add(part, alpha=length))

    def loss(self, length: float) -> float:
        """φ(α); what is not finite counts as infinite, so that a search turns back."""
        value = float(self._at(length).detach())
        return value if math.isfinite(value) else math.inf

    def gradient(self, length: float) -> Tensor:
        """The loss's gradient at θ + αd, as a flat vector."""
        found = gradients_of(self._at(length), self.model.params)
        return torch.cat(
            [
                (torch.zeros_like(p) if g is None else g).reshape(-1)
                for p, g in zip(self.model.params, found, strict=True)
            ]
        )

    def slope(self, length: float) -> float:
        """φ'(α)."""
        return float(self.gradient(length) @ self.direction.vector)

    def step_norm(self) -> float:
        """The largest change that a parameter has undergone."""
        return max(
            float((p - start).abs().max()) for p, start in zip(self.model.params, self._start, strict=True) if p.numel()
        )

    def _at(self, length: float) -> Tensor:
        """The loss at θ + αd, with its graph; a search asks for value and slope of the same point."""
        if self._latest is None or self._latest[0] != length:
            self.move(length)
            self._latest = (length, evaluate(self._closure))
            self.evaluations += 1
        return self._latest[1]
