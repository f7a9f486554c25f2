"""RMSprop: as it was lectured, centred, with momentum, and with ε inside the root.

Under a gradient that stays at 2 the average of squares fills up to 4, so steps shrink from η/√(1-α) to η. Centred, the
average variance is what divides, and a gradient that does not vary leaves none: the steps grow until ε stops them.
"""

from __future__ import annotations

import numpy as np

from fallline import arrays, rules
from fallline.symbolic import Rule

GRADIENT, LR, ALPHA = 2.0, 0.01, 0.9


def steps_of(rule: Rule, count: int, **hyperparameters: float) -> list[float]:
    """The lengths of the first steps under a constant gradient."""
    x = np.zeros(1)
    optimizer = arrays.Optimizer(rule, lr=LR, alpha=ALPHA, **hyperparameters)
    lengths = []
    for _ in range(count):
        before = x.item()
        optimizer.update({"x": x}, {"x": np.array([GRADIENT])})
        lengths.append(before - x.item())
    return lengths


def main(count: int = 60) -> dict[str, list[float]]:
    """The steps of every form."""
    found = {
        "as lectured": steps_of(rules.rmsprop, count),
        "centred": steps_of(rules.centered_rmsprop, count),
        "with momentum": steps_of(rules.heavy_ball(rules.rmsprop), count, momentum=0.5),
        "ε outside the root": steps_of(rules.rmsprop, count, eps=1.0),
        "ε inside the root": steps_of(rules.rmsprop_tensorflow, count, eps=1.0),
    }
    for name, lengths in found.items():
        print(f"{name:<20} first step {lengths[0]:.5f}, step {count} {lengths[-1]:.5f}")
    return found


if __name__ == "__main__":
    main()
