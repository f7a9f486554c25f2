"""A friendlier map: what makes the way down easier, whichever rule walks it.

L1 by proximal steps, which gives exact zeros; L2 and decoupled decay; scaled features; batch normalisation; and
cross-entropy in place of squared error behind a sigmoid.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import fallline as fl
from fallline import arrays, rules


def lasso(lambda1: float, steps: int = 500) -> NDArray[Any]:
    """Weights of ½‖w - (3, 0.5, -0.2)‖² + λ₁‖w‖₁: each is moved towards 0 by λ₁, and those nearer are 0."""
    w, target = np.ones(3), np.array([3.0, 0.5, -0.2])
    optimizer = arrays.Optimizer(rules.proximal_l1(rules.gradient_descent), lr=0.1, lambda1=lambda1)
    for _ in range(steps):
        optimizer.update({"w": w}, {"w": w - target})
    return w


def decay(rule: fl.symbolic.Rule, gradient_scale: float, steps: int = 20) -> float:
    """What is left of a weight of 1 whose gradient has mean 0, alternating in sign with this size."""
    w = np.ones(1)
    optimizer = arrays.Optimizer(rule, lr=0.01, weight_decay=0.5)
    for step in range(steps):
        optimizer.update({"w": w}, {"w": np.array([gradient_scale * (-1) ** step])})
    return w.item()


def condition(X: NDArray[Any]) -> float:
    """The condition number of the least squares' Hessian: about how many steps gradient descent takes."""
    return float(np.linalg.cond(X.T @ X))


def batch_normalisation(epochs: int) -> tuple[float, float, bool]:
    """The running mean and variance against the data's own, and whether the trained model still gathers them."""
    random = np.random.default_rng(0)
    X = random.normal(5.0, 3.0, size=(512, 1))
    problem = fl.Problem(
        model=lambda: nn.Sequential(nn.BatchNorm1d(1), nn.Linear(1, 1)),
        loss=nn.functional.mse_loss, train=(X, X), valid=(X, X),
    )  # fmt: skip
    result = fl.fit(problem, "adam", lr=0.1, epochs=epochs)
    layer: Any = result.model.get_submodule("0")
    off = layer.running_mean.item() - float(X.mean())
    return off, layer.running_var.item() / float(X.var(ddof=1)), result.model.training


def slope(loss: Any, logit: float) -> float:
    """The gradient of a loss for a logit where the label is 1."""
    z = torch.tensor([logit], dtype=torch.float64, requires_grad=True)
    loss(z, torch.ones(1, dtype=torch.float64)).backward()
    assert z.grad is not None
    return z.grad.item()


def main(epochs: int = 20) -> dict[str, Any]:
    """All of it."""
    random = np.random.default_rng(0)
    raw = random.normal(size=(200, 3)) * [1.0, 100.0, 0.01] + [0.0, 500.0, 1.0]
    l2_adam, adamw = rules.l2(rules.adam), rules.adamw
    found = {
        "L1 weights": lasso(0.3).tolist(),
        "decoupled decay, small and large gradients": (decay(adamw, 0.1), decay(adamw, 100.0)),
        "L2 in Adam, small and large gradients": (decay(l2_adam, 0.1), decay(l2_adam, 100.0)),
        "condition, raw features": condition(raw),
        "condition, scaled features": condition((raw - raw.mean(0)) / raw.std(0)),
        "batch norm: mean off by, variance ratio, in training": batch_normalisation(epochs),
        "slope of cross-entropy at -10": slope(nn.functional.binary_cross_entropy_with_logits, -10.0),
        "slope of squared error at -10": slope(lambda z, y: (torch.sigmoid(z) - y).square().mean(), -10.0),
    }
    for name, value in found.items():
        print(f"{name:<54} {value}")
    return found


if __name__ == "__main__":
    main()
