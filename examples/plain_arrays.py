"""Plain NumPy arrays: a softmax regression with its gradients written by hand, and saved half-way.

`update(params, grads)` changes the arrays of a dictionary in place, by the same kernels as everything else.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from fallline import arrays

Arrays = dict[str, NDArray[Any]]


def loss_and_gradients(params: Arrays, X: NDArray[Any], y: NDArray[Any]) -> tuple[float, Arrays]:
    """Mean cross-entropy and its gradients."""
    logits = X @ params["W"] + params["b"]
    logits -= logits.max(1, keepdims=True)
    probability = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    rows = np.arange(len(y))
    loss = -np.log(probability[rows, y]).mean()
    probability[rows, y] -= 1
    return float(loss), {"W": X.T @ probability / len(y), "b": probability.mean(0)}


def train(optimizer: arrays.Optimizer, params: Arrays, steps: int) -> float:
    """Take steps on all examples; the last loss."""
    X, y = load_digits(return_X_y=True)
    for _ in range(steps):
        loss, gradients = loss_and_gradients(params, X / 16, y)
        optimizer.update(params, gradients)
    return loss


def main(steps: int = 100) -> dict[str, Any]:
    """Train in one go, and in two halves with a file between them: the weights are the same."""
    params = {"W": np.zeros((64, 10)), "b": np.zeros(10)}
    first_loss, last_loss = np.log(10), train(arrays.Adam(lr=0.02), params, steps)

    again = {"W": np.zeros((64, 10)), "b": np.zeros(10)}
    optimizer = arrays.Adam(lr=0.02)
    train(optimizer, again, steps // 2)
    file = io.BytesIO()
    np.savez(file, **optimizer.state_dict())
    file.seek(0)
    resumed = arrays.Adam()
    with np.load(file) as saved:
        resumed.load_state_dict(saved)
    train(resumed, again, steps - steps // 2)

    same = all(np.array_equal(params[name], again[name]) for name in params)
    print(f"cross-entropy {first_loss:.3f} -> {last_loss:.3f}; resumed from a file: {'the same' if same else 'other'}")
    return {"first loss": first_loss, "last loss": last_loss, "resumed is the same": same}


if __name__ == "__main__":
    main()
