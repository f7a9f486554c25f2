"""Trials a second on every bundled problem: a race's populations against one-at-a-time torch, and against Optuna.

All sides train the same trials, Adam with learning rates of the race's own Sobol points, for the same epochs, and
evaluate the validation split after each epoch. Ours is what a race does: the way of training is measured, as it is
there, and that measurement is counted in. Rounds are interleaved; medians of the ratios are printed.
Usage: python benchmarks/populations.py [--rounds 5] [--epochs 5] [--trials 192] [--problems digits,digits-conv]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch

from fallline.problems import REAL, find
from fallline.racing.arms.entrants import as_arms
from fallline.racing.engines.engine import choose_engine
from fallline.racing.runs import Run, Work, run_of
from fallline.racing.search import sobol_points
from fallline.racing.stages import Plan, engine_for, make_plan
from fallline.training import Problem, epoch_order

PLAIN_TRIALS = 2  # of each round; their time does not hang on how many there are


def train_plain(problem: Problem, lr: float, **options: Any) -> float:
    """The loop that anyone writes; the validation metric at the end."""
    module = problem.build(0)
    optimizer = torch.optim.Adam(module.parameters(), lr=lr, **options)
    score = float("nan")
    for epoch in range(problem.epochs):
        for rows in torch.split(epoch_order(len(problem.train), 0, epoch), problem.batch):
            optimizer.zero_grad()
            loss = problem.training_loss(module, problem.train.inputs[rows], problem.train.targets[rows])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        module.eval()
        with torch.no_grad():
            output = module(problem.valid.inputs)
            float(problem.evaluation_loss(module, problem.valid.inputs, problem.valid.targets))
            score = float(problem.metric.function(output, problem.valid.targets))
        module.train()
    return score


def train_by_optuna(problem: Problem, trials: int) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize" if problem.metric.higher_is_better else "minimize")
    study.optimize(lambda trial: train_plain(problem, trial.suggest_float("lr", 1e-5, 1e-3, log=True)), n_trials=trials)


def train_ours(problem: Problem, runs: Sequence[Run]) -> Plan:
    """As a race tunes: the way is measured, processes are started."""
    plan = make_plan(problem, runs, "auto")
    work = Work(dict(enumerate(runs)), plan.batched, False, plan.width, plan.seconds, lambda numbers: numbers)
    with closing(choose_engine()) as engine:
        for _ in engine_for(plan, engine, problem, runs, print, asked=False).train(
            problem, work, lambda progress: None
        ):
            pass
    return plan


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


@dataclass(frozen=True)
class Round:
    """Seconds for one trial on each side."""

    ours: float
    plain: float
    fused: float
    optuna: float


def measure(problem: Problem, runs: Sequence[Run]) -> Round:
    return Round(
        plain=seconds(lambda: [train_plain(problem, 1e-4) for _ in range(PLAIN_TRIALS)]) / PLAIN_TRIALS,
        ours=seconds(lambda: train_ours(problem, runs)) / len(runs),
        fused=seconds(lambda: [train_plain(problem, 1e-4, fused=True) for _ in range(PLAIN_TRIALS)]) / PLAIN_TRIALS,
        optuna=seconds(lambda: train_by_optuna(problem, PLAIN_TRIALS)) / PLAIN_TRIALS,
    )


def row(problem: Problem, plan: Plan, rounds: Sequence[Round]) -> str:
    def median(figure: Callable[[Round], float]) -> float:
        return statistics.median(map(figure, rounds))

    cells = [
        f"{plan.training:10} {plan.width:6}",
        f"{1e6 * median(lambda one: one.ours) / problem.steps:10.1f}",
        f"{1e6 * median(lambda one: one.plain) / problem.steps:10.1f}",
        f"{1 / median(lambda one: one.ours):9.2f}",
        f"{median(lambda one: one.plain / one.ours):8.1f} x",
        f"{median(lambda one: one.fused / one.ours):8.1f} x",
        f"{median(lambda one: one.optuna / one.ours):8.1f} x",
    ]
    return " ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (5)")
    parser.add_argument("--epochs", type=int, default=5, help="epochs of a trial (5)")
    parser.add_argument("--trials", type=int, default=192, help="our trials in a round, as many as a race tunes (192)")
    parser.add_argument("--threads", type=int, default=2, help="torch's threads (2)")
    parser.add_argument("--problems", help="names, separated by commas; by default all that are real")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    names = given.problems.split(",") if given.problems else list(REAL)
    (adam,) = as_arms(["adam"])
    print(f"{given.trials} trials of {given.epochs} epochs, {given.threads} threads, medians of {given.rounds} rounds")
    print(
        f"{'':16} {'training':10} {'lanes':>6} {'us/step':>10} {'plain':>10} {'trials/s':>9} {'plain':>10} "
        f"{'fused':>10} {'Optuna':>10}"
    )
    for name in names:
        problem = find(name).make(epochs=given.epochs)
        points = sobol_points(adam, given.trials, 0)
        runs = [run_of(adam, {"lr": 1e-2 * float(point["lr"])}, problem, 0) for point in points]  # none that diverges
        plan = train_ours(problem, runs[:8])  # warm up
        rounds = [measure(problem, runs) for _ in range(given.rounds)]
        plan = make_plan(problem, runs, "auto")
        print(f"{name:16} {row(problem, plan, rounds)}", flush=True)


if __name__ == "__main__":
    main()
