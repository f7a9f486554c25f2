"""Batch sizes on a least-squares problem of two parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fallline import arrays, rules
from fallline.lab.fields import Fields
from fallline.lab.tabs.experiment import experiment, series
from fallline.lab.work import Ticket

_SAMPLES, _EPOCHS, _TRUTH = 128, 8, (2.0, -1.0)
Array = NDArray[np.float64]


def batch(fields: Fields, ticket: Ticket) -> dict[str, Any]:
    """Gradient descent with the learning rate `lr` on batches of 1, of 8 and of all samples, shuffled by `seed`."""
    lr, seed = fields.number("lr", 1e-6, 1.0, 0.05), fields.whole("seed", 0, 2**31 - 1, 0)
    fields.done()
    draws = np.random.default_rng(seed)
    inputs = draws.standard_normal((_SAMPLES, 2))
    targets = inputs @ _TRUTH + 0.5 * draws.standard_normal(_SAMPLES)
    best = np.asarray(np.linalg.lstsq(inputs, targets, rcond=None)[0], np.float64)
    lowest = _loss(inputs, targets, best)
    lines, rows = [], []
    for size in (1, 8, _SAMPLES):
        ticket.check()
        samples, losses = _descend(inputs, targets, size, lr, np.random.default_rng(seed))
        lines.append(series(f"all {size}" if size == _SAMPLES else f"batch {size}", samples, losses - lowest))
        after = losses[np.searchsorted(samples, _SAMPLES)] - lowest
        rows.append((size, _EPOCHS * _SAMPLES // size, after, losses[-1] - lowest))
    return experiment(
        "Batch size",
        "All begin at the same weights, with the same learning rate. Per sample seen, small batches get further at "
        "first, and then wander round the minimum; the whole batch goes down every step, and needs more samples.",
        ("samples seen", "loss above the lowest"),
        lines,
        ("batch size", "steps", "loss above the lowest after one epoch", f"after {_EPOCHS}"),
        rows,
    )


def _descend(inputs: Array, targets: Array, size: int, lr: float, draws: np.random.Generator) -> tuple[Array, Array]:
    """Samples seen and the loss over all samples, after each step and before the first."""
    weights = np.zeros(2)
    optimizer = arrays.Optimizer(rules.gradient_descent, lr=lr)
    losses = [_loss(inputs, targets, weights)]
    for _ in range(_EPOCHS):
        order = draws.permutation(_SAMPLES)
        for begin in range(0, _SAMPLES, size):
            some = order[begin : begin + size]
            errors = inputs[some] @ weights - targets[some]
            optimizer.update({"weights": weights}, {"weights": 2 * errors @ inputs[some] / size})
            losses.append(_loss(inputs, targets, weights))
    return size * np.arange(len(losses), dtype=np.float64), np.array(losses)


def _loss(inputs: Array, targets: Array, weights: Array) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.mean((inputs @ weights - targets) ** 2))
