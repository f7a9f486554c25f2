"""`fallline.arrays.Adam.update` against Adam as one writes it in NumPy, paired: both take each step in turn.

The gradients are new arrays at every step, as a training loop makes them. What is printed is the median time of both
and the median of the ratios; above 1 Fallline is faster.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fallline import arrays

Arrays = dict[str, NDArray[Any]]

#: A title, the shapes, and how many steps are timed.
CASES: list[tuple[str, list[tuple[int, ...]], int]] = [
    ("6 arrays of a 64-32-10-10 network", [(64, 32), (32,), (32, 10), (10,), (10, 10), (10,)], 2000),
    ("1,000 arrays of 100", [(100,)] * 1000, 100),
    ("6 arrays of 1,000,000", [(1000, 1000)] * 6, 20),
]


class NumPyAdam:
    """Adam as one writes it in NumPy."""

    def __init__(self, params: Arrays, lr: float = 1e-3) -> None:
        self.lr, self.t = lr, 0
        self.moments = {name: (np.zeros_like(p), np.zeros_like(p)) for name, p in params.items()}

    def update(self, params: Arrays, grads: Arrays) -> None:
        """Take one step."""
        self.t += 1
        for name, g in grads.items():
            m, v = self.moments[name]
            m[...] = 0.9 * m + 0.1 * g
            v[...] = 0.999 * v + 0.001 * g * g
            m_hat, v_hat = m / (1 - 0.9**self.t), v / (1 - 0.999**self.t)
            params[name] -= self.lr * m_hat / (np.sqrt(v_hat) + 1e-8)


def timed(optimizer: Any, params: Arrays, grads: Arrays) -> float:
    """Seconds of one update."""
    start = time.perf_counter()
    optimizer.update(params, grads)
    return time.perf_counter() - start


def compare(shapes: list[tuple[int, ...]], steps: int) -> tuple[list[float], list[float]]:
    """Seconds of each step by NumPy and by Fallline."""
    random = np.random.default_rng(0)
    ours = {f"p{i}": random.normal(size=shape).astype(np.float32) for i, shape in enumerate(shapes)}
    plain = {name: p.copy() for name, p in ours.items()}
    fallline, numpy = arrays.Adam(lr=1e-3), NumPyAdam(plain)
    seconds: tuple[list[float], list[float]] = ([], [])
    for step in range(steps + 5):
        grads = {name: np.full_like(p, 0.1) for name, p in plain.items()}
        pair = timed(numpy, plain, grads), timed(fallline, ours, grads)
        if step >= 5:  # the first compile, and make the states
            seconds[0].append(pair[0])
            seconds[1].append(pair[1])
    worst = max(float(np.abs(ours[name] - plain[name]).max()) for name in plain)
    assert worst < 1e-4, f"the two differ by {worst}"
    return seconds


def main() -> None:
    """Print a line for each case, with one thread and with torch's number of threads."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for threads in sorted({1, torch.get_num_threads()}):
        torch.set_num_threads(threads)
        print(f"{threads} thread{'s' if threads > 1 else ''}")
        for title, shapes, steps in CASES:
            plain, ours = compare(shapes, steps)
            ratio = statistics.median(a / b for a, b in zip(plain, ours, strict=True))
            print(
                f"  {title:<36} NumPy {1e6 * statistics.median(plain):9.0f} us   "
                f"fallline {1e6 * statistics.median(ours):9.0f} us   ratio {ratio:5.2f}"
            )


if __name__ == "__main__":
    main()
