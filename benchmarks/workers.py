"""Trials a second of a race's tuning: in this process, in several, and on Ray; and what starting processes costs.

Every way trains the same runs in turn with the others, so that what else the machine does falls on all alike.

    python benchmarks/workers.py
    python benchmarks/workers.py --workers 2 4 --pairs 5
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import logging
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace

from torch import Tensor, nn

from fallline.problems import digits
from fallline.racing.arms.entrants import as_arms
from fallline.racing.effort import Effort
from fallline.racing.engines.engine import Engine, choose_engine
from fallline.racing.engines.processes import ProcessEngine
from fallline.racing.runs import Run, Work
from fallline.racing.tuning import planned_runs
from fallline.training import Problem


def branching(epochs: int) -> Problem:
    """The digits for a network that branches on its data, which lanes can't share a pass of."""

    class Branching(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            output = super().forward(input)
            return output if output.sum() > 0 else 2 * output

    problem = digits(epochs=epochs)
    problem.model = lambda: nn.Sequential(nn.Linear(64, 32), nn.ReLU(), Branching(32, 10))
    problem.name = "digits, branching"
    return problem


def seconds(engine: Engine, problem: Problem, runs: Sequence[Run], batched: bool) -> float:
    each = 3e-5 if batched else 3e-4  # seconds of a step of a run, until they are measured
    work = Work(dict(enumerate(runs)), batched, False, len(runs), each, lambda numbers: numbers)
    start = time.perf_counter()
    assert sum(len(outcomes) for _, outcomes in engine.train(problem, work, lambda progress: None)) == len(runs)
    return time.perf_counter() - start


def all_runs(problem: Problem, trials: int) -> list[Run]:
    effort = Effort(trials=trials, finalists=1, seeds=1)
    return [run for arm in as_arms(None) for run in planned_runs(arm, problem, effort, 0, 0, [1])]


def compare(engines: dict[str, Engine], problem: Problem, trials: int, batched: bool, pairs: int) -> None:
    runs = all_runs(problem, trials)
    way = "batched" if batched else "one after the other"
    print(f"\n{problem.name}: {len(runs)} trials of {problem.steps} steps, {way}; median of {pairs}")
    for engine in engines.values():
        seconds(engine, problem, runs[: 4 * engine.slots], batched)  # start, and load kernels
    taken: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(pairs):
        for name, engine in engines.items():
            taken[name].append(seconds(engine, problem, runs, batched))
    first = next(iter(taken.values()))
    for name, times in taken.items():
        ratio = statistics.median(one / other for one, other in zip(first, times, strict=True))
        print(f"  {name:32} {len(runs) / statistics.median(times):8.1f} trials/s {ratio:6.2f} x")


def start_up(workers: int, problem: Problem) -> float:
    """Seconds from nothing until each of the processes has trained a step."""
    runs = [replace(run, steps=1) for run in all_runs(problem, 1)[:workers]]
    with closing(ProcessEngine(workers)) as engine:
        return seconds(engine, problem, runs, batched=False)


def ray_engine(workers: int) -> Engine:
    ray = importlib.import_module("ray")
    ray.init(num_cpus=workers, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    return choose_engine(ray="auto")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[2], help="numbers of processes (2)")
    parser.add_argument("--pairs", type=int, default=5, help="times that each way is timed (5)")
    parser.add_argument("--epochs", type=int, default=20, help="epochs of a trial (20)")
    parser.add_argument("--trials", type=int, default=16, help="trials of each arm (16)")
    given = parser.parse_args()
    print("one thread in each process")
    for workers in given.workers:
        times = [start_up(workers, digits()) for _ in range(3)]
        print(f"{workers} processes have trained a first step after {statistics.median(times):.1f} s")
    engines = {"this process": choose_engine(1)}
    engines |= {f"{workers} processes": choose_engine(workers) for workers in given.workers}
    if importlib.util.find_spec("ray"):
        engines |= {f"Ray, {given.workers[0]} processors": ray_engine(given.workers[0])}
    with ExitStack() as stack:
        for engine in engines.values():
            stack.callback(engine.close)
        compare(engines, digits(epochs=given.epochs), given.trials, True, given.pairs)
        compare(engines, digits(epochs=given.epochs), max(1, given.trials // 4), False, given.pairs)
        compare(engines, branching(given.epochs), max(1, given.trials // 4), False, given.pairs)


if __name__ == "__main__":
    main()
