"""Choosing: two rules in one optimizer, a switch in mid-training, a stream that drifts, features that are sparse."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import fallline as fl
from fallline import optim, rules

Batch = tuple[NDArray[Any], NDArray[Any]]


def two_rules(epochs: int) -> dict[str, Any]:
    """Adam for the first layer, momentum for the rest; then momentum for all, with what both rules keep handed over."""
    problem = fl.problems.digits()
    model = problem.build(0)
    first, *rest = model.parameters()
    groups: list[dict[str, Any]] = [{"params": [first], "rule": rules.adam, "lr": 0.003}, {"params": rest}]
    optimizer = fl.Optimizer(groups, rules.momentum, lr=0.05)
    before = fl.fit(problem, optimizer, model=model, epochs=epochs)
    average = optimizer.state[first]["m"].clone()
    optimizer.switch(rules.momentum, lr=0.02)
    handed_over = float((optimizer.state[first]["b"] - 10 * average).abs().max())  # b = m / (1 - β₁)
    after = fl.fit(problem, optimizer, model=model, epochs=epochs, seed=1)
    return {
        "before": before.curves[-1].validation_loss, "after": after.curves[-1].validation_loss,
        "handed over, error": handed_over,
    }  # fmt: skip


def drifting(batches: int, seed: int = 0) -> Iterator[Batch]:
    """Examples of y = ⟨w, x⟩, whose w turns from one batch to the next, by half a circle in all."""
    random = np.random.default_rng(seed)
    for angle in np.linspace(0, np.pi, batches):
        X = random.normal(size=(8, 2))
        yield X, X @ [[np.cos(angle)], [np.sin(angle)]]


def on_a_stream(rule: str, lr: float, batches: int) -> float:
    """The mean loss over the last half of the stream, each batch's from before it was learnt from."""
    problem = fl.StreamProblem(
        model=lambda: nn.Linear(2, 1, bias=False), loss=nn.functional.mse_loss, train=drifting(batches)
    )
    curves = fl.fit(problem, rule, lr=lr).curves
    return float(np.mean([point.training_loss for point in curves[batches // 2 :] if point.training_loss is not None]))


class BagOfWords(nn.Module):
    """A vector a word, of which each example names three; only the vectors that are named get gradients."""

    def __init__(self, words: int, sparse: bool) -> None:
        super().__init__()
        self.vectors = nn.EmbeddingBag(words, 4, mode="sum", sparse=sparse)
        self.out = nn.Linear(4, 2)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        """The logits [n, 2] of examples of three words [n, 3]."""
        logits: torch.Tensor = self.out(self.vectors(words))
        return logits


def sparse_features(kind: Any, epochs: int) -> dict[str, float]:
    """The loss after training with sparse gradients, and by how much the weights differ from those with dense ones."""
    random = np.random.default_rng(0)
    words = random.integers(0, 500, size=(300, 3))
    data = words, (words.min(1) < 100).astype(np.int64)
    models = []
    for sparse in (True, False):
        problem = fl.Problem(
            model=partial(BagOfWords, 500, sparse),
            loss=nn.functional.cross_entropy, train=data, valid=data,
        )  # fmt: skip
        result = fl.fit(problem, kind, lr=0.1, epochs=epochs)
        models.append(result.model)
    pairs = zip(models[0].parameters(), models[1].parameters(), strict=True)
    difference = max(float((a - b).detach().abs().max()) for a, b in pairs)
    return {"loss": result.curves[-1].validation_loss or 0.0, "difference to dense": difference}


def main(epochs: int = 5, batches: int = 1000) -> dict[str, Any]:
    """All four."""
    found = {
        "two rules, then one": two_rules(epochs),
        "drift, constant rate": on_a_stream("gradient_descent", 0.1, batches),
        "drift, adagrad": on_a_stream("adagrad", 0.1, batches),
        "sparse, SGD": sparse_features(optim.SGD, epochs),
        "sparse, Adagrad": sparse_features(optim.Adagrad, epochs),
    }
    for name, value in found.items():
        print(f"{name:<22} {value}")
    return found


if __name__ == "__main__":
    main()
