"""Trials per second of a population on the digits' network, against plain torch training one lane at a time.

Both sides train with Adam for the same epochs and validate after each. Pairs are interleaved; medians are printed.
Usage: python benchmarks/populations.py [--pairs 7] [--epochs 20] [--threads 2]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from fallline.problems import digits
from fallline.rules import adam
from fallline.training import BatchedLanes, Batches, Problem, epoch_order, lanes_for, train
from fallline.training.updates import LaneRule, LaneUpdate

POPULATIONS = {
    "128 lanes, one seed": [0] * 128,
    "128 lanes, 128 seeds": list(range(128)),
    "350 lanes, 10 seeds": [seed for seed in range(10) for _ in range(35)],
}


def train_population(problem: Problem, seeds: Sequence[int]) -> None:
    lanes = BatchedLanes(problem, seeds)
    rates = torch.logspace(-4, -2, len(seeds)).tolist()
    train(lanes, LaneUpdate(lanes.parameters, [LaneRule(adam, {**adam.defaults, "lr": rate}) for rate in rates]))
    assert len(lanes) == len(seeds)


def train_plain(problem: Problem, **options: Any) -> None:
    module = problem.build(0)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3, **options)
    for epoch in range(problem.epochs):
        for rows in torch.split(epoch_order(len(problem.train), 0, epoch), problem.batch):
            optimizer.zero_grad()
            loss = problem.loss(module(problem.train.inputs[rows]), problem.train.targets[rows])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        module.eval()
        with torch.no_grad():
            output = module(problem.valid.inputs)
            float(problem.loss(output, problem.valid.targets))
            float((output.argmax(1) == problem.valid.targets).float().mean())
        module.train()


def seconds(action: Callable[[], None]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


@dataclass(frozen=True)
class Pair:
    """Seconds for one trial on both sides, and for one pass forward and backward of one lane."""

    population: float
    gradient: float
    default: float
    fused: float


def measure(problem: Problem, seeds: Sequence[int]) -> Pair:
    lanes = BatchedLanes(problem, seeds)
    batches = Batches(len(problem.train), problem.batch, lanes.streams)

    def epoch() -> None:
        for step in range(problem.steps_per_epoch):
            lanes.gradients(batches.at(step))

    return Pair(
        default=seconds(lambda: train_plain(problem)),
        population=seconds(lambda: train_population(problem, seeds)) / len(seeds),
        fused=seconds(lambda: train_plain(problem, fused=True)),
        gradient=seconds(epoch) / problem.steps_per_epoch / len(seeds),
    )


def row(problem: Problem, pairs: Sequence[Pair]) -> str:
    def median(figure: Callable[[Pair], float]) -> float:
        return statistics.median(map(figure, pairs))

    trial = median(lambda pair: pair.population)
    cells = [
        f"{1e6 * median(lambda pair: pair.gradient):8.1f} us",
        f"{1e6 * trial / problem.steps:8.1f} us",
        f"{problem.steps / trial:12,.0f}",
        f"{1 / trial:9.1f}",
        f"{median(lambda pair: pair.default / pair.population):7.1f} x",
        f"{median(lambda pair: pair.fused / pair.population):7.1f} x",
    ]
    return " ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=7, help="interleaved pairs (7)")
    parser.add_argument("--epochs", type=int, default=20, help="epochs of a trial (20)")
    parser.add_argument("--threads", type=int, default=2, help="torch's threads (2)")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    problem = digits(epochs=given.epochs)
    assert isinstance(lanes_for(problem, range(8)), BatchedLanes)
    print(f"{problem}, {given.threads} threads, median of {given.pairs} pairs")
    print(
        f"{'':22} {'gradient':>11} {'lane-step':>11} {'lane-steps/s':>12} {'trials/s':>9} {'default':>9} {'fused':>9}"
    )
    for name, seeds in POPULATIONS.items():
        measure(digits(epochs=1), seeds)  # warm up
        pairs = [measure(problem, seeds) for _ in range(given.pairs)]
        print(f"{name:22} {row(problem, pairs)}")
    default, fused = (
        1e6 * statistics.median(getattr(pair, side) for pair in pairs) / problem.steps for side in ("default", "fused")
    )
    print(f"One at a time in plain torch: default {default:.1f} us a step, fused {fused:.1f} us.")


if __name__ == "__main__":
    main()
