"""Adadelta: no learning rate to choose, and next to no change when the loss is multiplied by a thousand.

Its step is in the parameter's own unit: the root mean square of past steps over that of past gradients. Gradient
descent's step is in the gradient's, and diverges when the loss is a thousand times as large.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fallline import arrays

CURVATURE = np.array([1.0, 25.0])


def end(optimizer: arrays.Optimizer, scale: float, steps: int) -> NDArray[Any]:
    """Where the descent on scale · ½ Σ c x² ends."""
    x = np.array([2.0, 1.0])
    for _ in range(steps):
        optimizer.update({"x": x}, {"x": scale * CURVATURE * x})
    return x


def main(steps: int = 100, scale: float = 1000.0) -> dict[str, float]:
    """How far the ends are apart, relative to the way that was gone, when the loss is rescaled."""
    found = {}
    for name, kind, given in (
        ("adadelta", arrays.Adadelta, {}),
        ("gradient descent", arrays.SGD, {"lr": 0.01}),
    ):
        plain, scaled = end(kind(**given), 1.0, steps), end(kind(**given), scale, steps)
        with np.errstate(all="ignore"):
            found[name] = float(np.abs(scaled - plain).max() / np.abs(plain - [2.0, 1.0]).max())
        print(f"{name}: ends at {plain}; with the loss times {scale:g} at {scaled}")
    return found


if __name__ == "__main__":
    main()
