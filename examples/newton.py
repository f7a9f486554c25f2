"""Newton's method: one step to the least squares, few down Rosenbrock's valley, and away from a saddle.

The Hessian is exact for small models. With `exact_up_to=0` only its products with vectors are used, by conjugate
gradients, as beyond some thousands of parameters.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

import fallline as fl


def linear_regression() -> tuple[fl.Problem, np.ndarray[Any, Any]]:
    """A problem, and its exact solution by linear algebra."""
    random = np.random.default_rng(0)
    X = random.normal(size=(60, 3)) * [1.0, 10.0, 0.1]
    y = X @ [[1.0], [-2.0], [3.0]] + random.normal(size=(60, 1))
    problem = fl.Problem(
        model=lambda: nn.Linear(3, 1, bias=False, dtype=torch.float64),
        loss=nn.functional.mse_loss, train=(X, y), valid=(X, y), batch=60,
    )  # fmt: skip
    return problem, np.linalg.lstsq(X, y, rcond=None)[0]


def rosenbrock(**options: Any) -> tuple[float, int]:
    """The distance to the minimum (1, 1), and the iterations that it took."""
    x = nn.Parameter(torch.tensor([-1.2, 1.0], dtype=torch.float64))
    optimizer = fl.Newton([x], **options)
    iterations, distance = 0, 1.0
    while distance > 1e-8 and iterations < 100:
        optimizer.step(lambda: (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2)
        iterations, distance = iterations + 1, float((x.detach() - 1).abs().max())
    return distance, iterations


def saddle() -> list[float]:
    """Where the descent from the saddle of x²-y²+y⁴/2 ends: in a minimum, (0, ±1)."""
    x = nn.Parameter(torch.zeros(2, dtype=torch.float64))
    optimizer = fl.Newton([x])
    for _ in range(20):
        optimizer.step(lambda: x[0] ** 2 - x[1] ** 2 + x[1] ** 4 / 2)
    return x.tolist()


def main() -> dict[str, Any]:
    """All of it."""
    problem, solution = linear_regression()
    result = fl.fit(problem, fl.Newton, batch="all", epochs=1)
    error = np.abs(next(result.model.parameters()).detach().numpy().T - solution).max()
    found = {
        "least squares, error after 1 step": float(error),
        "rosenbrock": rosenbrock(),
        "rosenbrock, strong Wolfe": rosenbrock(line_search="strong_wolfe"),
        "rosenbrock, conjugate gradients": rosenbrock(exact_up_to=0),
        "from the saddle": saddle(),
    }
    for name, value in found.items():
        print(f"{name:<34} {value}")
    return found


if __name__ == "__main__":
    main()
