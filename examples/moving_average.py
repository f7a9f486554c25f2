"""The exponential moving average: of a series, with and without bias correction, and of a model's weights.

β looks back over about 1/(1-β) values. The average starts at 0, which dividing by 1-βᵗ takes out. Averaged over the
course of training, the weights lose the noise of single batches.
"""

from __future__ import annotations

import numpy as np

import fallline as fl
from fallline.averaging import ExponentialAverage, ema


def main(epochs: int = 5) -> dict[str, float]:
    """The averages of a constant series, and of the weights of a network that is trained in rough steps."""
    constant = np.full(50, 7.0)
    found = {
        "window": ExponentialAverage(beta=0.98).window,
        "first average of 7s, corrected": float(ema(constant, beta=0.98)[0]),
        "last average of 7s, corrected": float(ema(constant, beta=0.98)[-1]),
        "first average of 7s, uncorrected": float(ema(constant, beta=0.98, bias_correction=False)[0]),
        "last average of 7s, uncorrected": float(ema(constant, beta=0.98, bias_correction=False)[-1]),
    }
    problem = fl.problems.digits()
    for name, averages in (("last weights", None), ("averaged weights", 0.99)):
        result = fl.fit(problem, "gradient_descent", lr=0.3, batch=8, epochs=epochs, averages=averages)
        loss = result.curves[-1].validation_loss
        assert loss is not None
        found[f"validation loss, {name}"] = loss
    for name, value in found.items():
        print(f"{name:<34} {value:.4f}")
    return found


if __name__ == "__main__":
    main()
