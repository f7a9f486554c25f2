"""Losses whose minima, saddles or Hessians are known, in double precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Loss = Callable[[Tensor], Tensor]
PATHS: dict[str, dict[str, Any]] = {
    "exact": {"exact_up_to": 10_000},
    "conjugate gradients": {"exact_up_to": 0, "cg_tolerance": 1e-13},
}


def at(*values: float) -> nn.Parameter:
    return nn.Parameter(torch.tensor(values, dtype=torch.float64))


def rosenbrock(x: Tensor) -> Tensor:
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def saddle(x: Tensor) -> Tensor:
    """A saddle at the origin; minima of -1/4 at (0, ±√½)."""
    return x[0] ** 2 - x[1] ** 2 + x[1] ** 4


def quartic(x: Tensor) -> Tensor:
    """Its minimum is at the origin, where the Hessian is diag(2, 6) and the third derivatives are not nought."""
    return (x[0] ** 2 + 3 * x[1] ** 2) + x[0] ** 3 + x[0] * x[1] ** 2


def quadratic(n: int, eigenvalues: Tensor | None = None) -> tuple[Loss, Tensor]:
    """½(x - m)ᵀA(x - m) with the minimum m; A has the eigenvalues given, by default from 1 to 100."""
    generator = torch.Generator().manual_seed(n)
    basis = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64)).Q
    values = torch.linspace(1, 100, n, dtype=torch.float64) if eigenvalues is None else eigenvalues
    matrix = basis * values @ basis.T
    minimum = torch.randn(n, generator=generator, dtype=torch.float64)
    return lambda x: (x - minimum) @ matrix @ (x - minimum) / 2, minimum


class Network:
    """A small classifier on fixed random data, in double precision."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
        self.X = torch.randn(60, 4, dtype=torch.float64)
        self.y = torch.randint(0, 3, (60,))

    def loss(self) -> Tensor:
        decay = torch.stack([(p**2).sum() for p in self.model.parameters()]).sum()
        return nn.functional.cross_entropy(self.model(self.X), self.y) + 0.05 * decay

    def vector(self) -> Tensor:
        return torch.cat([p.detach().reshape(-1) for p in self.model.parameters()])
