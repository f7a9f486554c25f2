"""Adam: why the bias is corrected, what AMSGrad remembers, and where AdamW's decay goes.

Averages that start at 0 are too small at first: m by 1-β₁ and √v by √(1-β₂). Without correction the first step is
(1-β₁)/√(1-β₂) = 3.16 times too long at the usual decay factors, and would be too short at β₂ = 0.9, β₁ = 0.99.
"""

from __future__ import annotations

import numpy as np

from fallline import arrays, rules
from fallline.symbolic import Rule


def moved(rule: Rule, gradients: list[float], start: float = 0.0, **hyperparameters: float) -> list[float]:
    """Each step's length under these gradients."""
    x = np.array([start])
    optimizer = arrays.Optimizer(rule, **hyperparameters)
    lengths = []
    for gradient in gradients:
        before = x.item()
        optimizer.update({"x": x}, {"x": np.array([gradient])})
        lengths.append(before - x.item())
    return lengths


def main(lr: float = 0.001) -> dict[str, float]:
    """First steps with and without correction; steps after a burst; decay where there is no gradient."""
    burst = [10.0] + [0.1] * 2000
    found = {
        "first step": moved(rules.adam, [5.0], lr=lr)[0] / lr,
        "first step, uncorrected": moved(rules.adam_uncorrected, [5.0], lr=lr)[0] / lr,
        "first step, uncorrected, slow m": moved(rules.adam_uncorrected, [5.0], lr=lr, beta1=0.99, beta2=0.9)[0] / lr,
        "long after a burst": moved(rules.adam, burst, lr=lr, beta2=0.99)[-1] / lr,
        "long after a burst, amsgrad": moved(rules.amsgrad, burst, lr=lr, beta2=0.99)[-1] / lr,
        "decoupled decay alone": moved(rules.adamw, [0.0], start=2.0, lr=lr, weight_decay=0.1)[0] / lr,
        "L2 alone": moved(rules.l2(rules.adam), [0.0], start=2.0, lr=lr, weight_decay=0.1)[0] / lr,
    }
    for name, steps in found.items():
        print(f"{name:<32} {steps:8.5f} learning rates")
    return found


if __name__ == "__main__":
    main()
