"""RAdam, AdamP, NAdam and Adamax: what each changes in Adam.

RAdam does not divide by the second moment until six gradients have told of it (at β₂ = 0.999). AdamP takes the radial
part out of steps on weights whose scale has no effect, as before a batch normalisation: that part only makes them
longer, and so the steps that count smaller. Adamax divides by a maximum, NAdam looks ahead.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fallline import arrays


def first_steps(optimizer: arrays.Optimizer, count: int) -> list[float]:
    """Steps under a constant gradient of 3."""
    x = np.zeros(1)
    lengths = []
    for _ in range(count):
        before = x.item()
        optimizer.update({"x": x}, {"x": np.array([3.0])})
        lengths.append(before - x.item())
    return lengths


def length_after(optimizer: arrays.Optimizer, steps: int) -> float:
    """The length of a weight [1, 3] whose direction alone is trained, towards another direction."""
    w, towards = np.array([[1.0, 0.2, 0.0]]), np.array([[0.0, 0.6, 0.8]])
    for _ in range(steps):
        length = np.linalg.norm(w)
        unit = w / length
        gradient = -(towards - (towards * unit).sum() * unit) / length  # of -⟨towards, w/‖w‖⟩
        optimizer.update({"w": w}, {"w": gradient})
    return float(np.linalg.norm(w))


def main(steps: int = 200) -> dict[str, Any]:
    """RAdam's, NAdam's and Adamax's first steps, and how long scale-invariant weights become."""
    found: dict[str, Any] = {
        "radam": first_steps(arrays.RAdam(lr=1.0), 8),
        "adamax": first_steps(arrays.Adamax(lr=1.0), 8),
        "nadam": first_steps(arrays.NAdam(lr=1.0), 8),
        "length by adam": length_after(arrays.Adam(lr=0.1), steps),
        "length by adamp": length_after(arrays.AdamP(lr=0.1), steps),
    }
    for name, value in found.items():
        print(f"{name:<16}", np.round(value, 4))
    return found


if __name__ == "__main__":
    main()
