"""Adagrad: the diagonal, which everybody uses, and the paper's full matrix of outer products.

The diagonal divides each coordinate by the size of its own past gradients, so its path depends on the axes. The full
matrix does not: turn the coordinates, and the path turns with them.
"""

from __future__ import annotations

from typing import Any

import torch

from fallline import optim

START = torch.tensor([3.0, 4.0], dtype=torch.float64)
CURVATURE = torch.diag(torch.tensor([1.0, 10.0], dtype=torch.float64))
TURN = torch.tensor([[0.8, -0.6], [0.6, 0.8]], dtype=torch.float64)  # by 37 degrees


def path(kind: Any, turn: torch.Tensor, steps: int) -> torch.Tensor:
    """The points [steps, 2] in coordinates that are turned, turned back again."""
    x = torch.nn.Parameter(turn @ START)
    optimizer = kind([x], lr=0.5)
    points = []
    for _ in range(steps):
        optimizer.zero_grad()
        (x @ (turn @ CURVATURE @ turn.T) @ x / 2).backward()
        optimizer.step()
        points.append(turn.T @ x.detach())
    return torch.stack(points)


def main(steps: int = 30) -> dict[str, Any]:
    """The first steps of both forms, and how much turning the coordinates changes the path."""
    straight = torch.eye(2, dtype=torch.float64)
    found: dict[str, Any] = {}
    for name, kind in (("diagonal", optim.Adagrad), ("full matrix", optim.FullMatrixAdagrad)):
        points = path(kind, straight, steps)
        change = float((path(kind, TURN, steps) - points).abs().max())
        found[name] = {"first step": (points[0] - START).tolist(), "changed by turning": change}
        print(f"{name}: {found[name]}")
    return found


if __name__ == "__main__":
    main()
