"""One optimizer under two names, each with its own draw of points and seeds: how often do the digits name a winner?

Two races of one arm each, with different seeds for everything that is drawn, are judged as one race of two arms.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from fallline.problems import digits
from fallline.racing import Arm, race
from fallline.racing.arms.names import as_arms
from fallline.racing.judging.records import Entry
from fallline.racing.judging.verdict import decide


def entry(name: str, optimizer: str, seed: int) -> tuple[Entry, float]:
    """The record of a race of one arm, and the untrained score."""
    (arm,) = as_arms([optimizer])
    result = race(digits(), [Arm(name, arm.optimizer, arm.space)], seed=seed, storage=None)
    return replace(result[name].entry, name=name), float(result.protocol["untrained_score"])


def main() -> None:
    """Race, judge and count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--races", type=int, default=20)
    parser.add_argument("--optimizer", default="adam")
    options = parser.parse_args()
    ties = 0
    for number in range(options.races):
        first, untrained = entry("first", options.optimizer, 2 * number)
        second, _ = entry("second", options.optimizer, 2 * number + 1)
        verdict = decide([first, second], higher_is_better=True, untrained=untrained, metric="accuracy")
        ties += verdict.winner is None
        means = [float(e.finals[0].scores.mean()) for e in (first, second)]
        print(f"race {number + 1:>2}: {means[0]:.4f} and {means[1]:.4f}, {verdict.winner or 'tie'}", flush=True)
    print(f"{options.optimizer} against itself: a tie in {ties} of {options.races} races")


if __name__ == "__main__":
    main()
