"""Does a race's cost grow linearly in its trials? 16, 64 and 256 trials an arm on the digits, in one run.

Usage: python benchmarks/linear_cost.py [--epochs 5] [--arms sgd,adam,adamw] [--rounds 3]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import fallline as fl
from fallline.problems import digits
from fallline.racing import Effort

TRIALS = (16, 64, 256)


def seconds(arms: list[str], epochs: int, trials: int) -> float:
    """A whole race, its storage included; finals grow with the trials, so that all of it should grow alike."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        fl.race(digits(epochs=epochs), arms, Effort(trials, 1, trials // 4), storage=Path(folder) / "races.db")
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--arms", default="sgd,adam,adamw")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds, the median is printed (3)")
    given = parser.parse_args()
    arms = given.arms.split(",")
    seconds(arms, 1, TRIALS[0])  # warm up
    rounds = [[seconds(arms, given.epochs, trials) for trials in TRIALS] for _ in range(given.rounds)]
    print("trials an arm   seconds   ms a trial   of the cost a trial at 16")
    first = statistics.median(times[0] for times in rounds) / TRIALS[0]
    for i, trials in enumerate(TRIALS):
        middle = statistics.median(times[i] for times in rounds)
        print(f"{trials:13} {middle:9.2f} {1e3 * middle / trials / len(arms):12.1f} {middle / trials / first:14.2f}")


if __name__ == "__main__":
    main()
