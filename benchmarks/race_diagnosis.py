"""What the diagnosis costs that a race makes by default, and how well a whole diagnosis foresees its time.

For each problem: the seconds of what a race's page looks at beside its slices (`looked_at`), the median and the longest
of several; then those of a whole `fallline.diagnose`, beside what it said before it started.

    python -m benchmarks.race_diagnosis --rounds 5 digits breast-cancer
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import fallline as fl
from fallline.problems import find
from fallline.racing.diagnosed import looked_at


def main() -> None:
    """Print a line for each problem."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problems", nargs="*", default=["digits", "breast-cancer", "digits-conv"])
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    print(f"{'problem':16}{'in a race':>12}{'longest':>10}{'whole':>10}  said before")
    for name in asked.problems:
        problem = find(name).make()
        model = fl.fit(problem, "adam", lr=0.01, progress=False).model
        seconds, told = [], False
        for _ in range(asked.rounds):
            begun = time.perf_counter()
            told = looked_at(fl.Arm("adam"), {"lr": 0.01}, problem, model) is not None
            seconds.append(time.perf_counter() - begun)
        found = fl.diagnose(problem, progress=False)
        left_out = "" if told else "  (in a race: too dear, left out)"
        row = f"{name:16}{median(seconds):>10.2f} s{max(seconds):>8.2f} s{found.seconds:>8.1f} s"
        print(f"{row}  {found.cost}{left_out}")


if __name__ == "__main__":
    main()
