"""What keeping runs costs: thousands of trials of a tiny problem, and the memory of a race whose storage is full.

The share is that of all time spent in the store, whose every call is timed; beside it stands the ratio of the same race
with a storage to one with none, interleaved. The memory is that of a process that runs a race on an empty storage and
on one that holds many thousands of other runs.

    python benchmarks/storage.py
    python benchmarks/storage.py --trials 500 --rounds 1
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import fallline as fl
from fallline import rules
from fallline.racing import Effort, Outcome, Run
from fallline.racing.storage import Card, open_store
from fallline.racing.storage.store import Store
from fallline.training.updates import LaneRule

X = torch.linspace(-1, 1, 240).reshape(60, 4)
Y = X.square().sum(1, keepdim=True)


def problem() -> fl.Problem:
    return fl.Problem(
        model=lambda: nn.Linear(4, 1), loss=nn.functional.mse_loss, train=(X[:40], Y[:40]), valid=(X[40:50], Y[40:50]),
        test=(X[50:], Y[50:]), batch=8, epochs=4, name="tiny",
    )  # fmt: skip


def race(trials: int, storage: Path | None) -> float:
    """Seconds of a race of two arms with so many trials in all."""
    begun = time.perf_counter()
    fl.race(problem(), ["sgd", "adam"], Effort(trials=trials // 2, finalists=1, seeds=2), storage=storage)
    return time.perf_counter() - begun


def timed(trials: int, storage: Path) -> tuple[float, float]:
    """Seconds of a race, and those of them that were spent in its store."""
    spent = [0.0]
    before: dict[str, Callable[..., Any]] = {}

    def watched(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            begun = time.perf_counter()
            try:
                return method(*given, **named)
            finally:
                spent[0] += time.perf_counter() - begun

        return call

    for name in ("there", "read", "ask", "add", "recall", "remember", "answer"):
        before[name] = getattr(Store, name)
        setattr(Store, name, watched(before[name]))
    try:
        return race(trials, storage), spent[0]
    finally:
        for name, method in before.items():
            setattr(Store, name, method)


def filled(storage: Path, runs: int) -> None:
    """Keep so many runs of another race."""
    curve = np.linspace(0, 1, 21)
    outcome = Outcome(np.arange(21), np.arange(21), curve, curve, curve, -1, 0.5, np.ones(360))
    run = Run("adam", {"lr": 0.1}, 0, LaneRule(rules.adam, rules.adam.defaults), 64, 340)
    store = open_store(storage, Card("other", "o", "o", True, {}, {"effort": {}, "seed": 0}, runs))
    for start in range(0, runs, 1_000):
        numbers = range(start, min(start + 1_000, runs))
        keys = {number: f"other {number}" for number in numbers}
        store.add("finals", keys, {n: replace(run, seed=n) for n in numbers}, dict.fromkeys(numbers, outcome))
    store.close()


def megabytes(storage: Path, trials: int) -> float:
    """The most memory of a process that runs a race."""
    command = [sys.executable, __file__, "--once", str(storage), "--trials", str(trials)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=5_000, help="of both arms together (5000)")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved (3)")
    parser.add_argument("--others", type=int, default=20_000, help="runs of others in the full storage (20000)")
    parser.add_argument("--once", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.once is not None:
        race(given.trials, given.once)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    race(100, None)  # warms up
    shares, ratios = [], []
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(given.rounds):
            without = race(given.trials, None)
            whole, spent = timed(given.trials, Path(folder, f"{turn}.db"))
            shares.append(spent / whole)
            ratios.append(whole / without)
        print(f"{given.trials:,} trials: {100 * statistics.median(shares):.1f} % of the time in the storage, ", end="")
        print(f"{statistics.median(ratios):.2f} times the time without one (medians of {given.rounds} rounds)")
        full, empty = Path(folder, "full.db"), Path(folder, "empty.db")
        filled(full, given.others)
        each = [(megabytes(empty, 200), megabytes(full, 200)) for _ in range(given.rounds)]
        size = full.stat().st_size / 1e6
        print(f"memory of a race: {statistics.median(one for one, _ in each):.0f} MB on an empty storage, ", end="")
        print(f"{statistics.median(one for _, one in each):.0f} MB on one of {given.others:,} runs ({size:.0f} MB)")


if __name__ == "__main__":
    main()
