"""Gradient descent: stochastic, on mini-batches, on the whole batch; one call, and only `batch` differs.

An epoch goes once through all 1,078 training examples, so it has 1,078 steps, or 17, the last on 54 examples, or 1.
"""

from __future__ import annotations

from typing import Literal

import fallline as fl


def main(epochs: int = 5, seed: int = 0) -> dict[int | Literal["all"], fl.training.FitResult]:
    """Train the same network from the same weights with three sizes of batch, and print the curves."""
    problem = fl.problems.digits()
    results: dict[int | Literal["all"], fl.training.FitResult] = {}
    rates: dict[int | Literal["all"], float] = {1: 0.02, 64: 0.5, "all": 1.0}
    for batch, lr in rates.items():
        results[batch] = fl.fit(problem, "gradient_descent", batch=batch, epochs=epochs, lr=lr, seed=seed)
        print(f"batch {batch}, learning rate {lr}\n{results[batch]}\n")
    return results


if __name__ == "__main__":
    main()
