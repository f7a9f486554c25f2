"""Which schedule, as the default of a race, serves most arms best on the bundled problems?

Every arm races once under each schedule on every real problem, all tuned alike (12 trials, 3 finalists, 5 seeds that
all share). Compared is the test error at the end of what it then takes: one less the accuracy, or the loss; as the
logarithm of its ratio to that under a constant rate, paired by seed. Told are, for each schedule: in how many of all
pairs of an arm and a problem it is best, in how many it is better, and worse, than the constant rate with 95 % of
confidence over the seeds, and the mean ratio with its 95 % interval over the problems; and the ratios of each problem.

    python -m benchmarks.schedules --storage schedules.db
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

import fallline as fl
from fallline.problems import REAL, find
from fallline.racing import ArmResult, RaceResult

Floats = NDArray[np.float64]

SCHEDULES = ("constant", "linear", "cosine", "warmup-stable-decay")
ARMS = ("sgd", "momentum", "adagrad", "rmsprop", "adam")


def raced(problem: str, arms: list[str], effort: fl.Effort, warm_up: float | None, storage: str | None) -> RaceResult:
    also = {} if warm_up is None else {"warm_up": warm_up}
    entrants = [fl.Arm(f"{arm} {one}", arm, fixed={"schedule": one, **also}) for arm in arms for one in SCHEDULES]
    return fl.race(find(problem).make(), entrants, effort, storage=storage)


def errors(arm: ArmResult, untrained: float) -> Floats:
    """Test errors (seeds,) of the configuration that the arm takes; a run that diverged counts as untrained."""
    scores = np.array([untrained if run.diverged else run.score for run in arm.finals[0]])
    return 1 - scores if arm.problem.metric.higher_is_better else scores


def ratios(result: RaceResult, arms: list[str]) -> Floats:
    """Logarithms (arms, schedules, seeds) of the errors over those under a constant rate."""
    untrained = result.protocol["untrained_score"]
    found = np.array([[errors(result[f"{arm} {one}"], untrained) for one in SCHEDULES] for arm in arms])
    logs = np.log(np.maximum(found, 1e-4))
    return np.asarray(logs - logs[:, :1])


def interval(values: Floats) -> tuple[float, float, float]:
    """The mean of some values with the ends of its 95 % interval."""
    mean, error = float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
    reach = float(t.ppf(0.975, len(values) - 1)) * error
    return mean, mean - reach, mean + reach


def told(ends: tuple[float, float, float]) -> str:
    mean, low, high = np.exp(ends)
    return f"{mean:.3f} ({low:.3f} to {high:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", default=",".join(ARMS), help="who races, separated by commas")
    parser.add_argument("--problems", default=",".join(REAL), help="on what, separated by commas")
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--warm-up", type=float, help="of all schedules, in place of their own")
    parser.add_argument("--storage", help="keeps the runs, so that the same command goes on")
    options = parser.parse_args()
    arms, problems = options.arms.split(","), options.problems.split(",")
    effort = fl.Effort(trials=options.trials, finalists=3, seeds=options.seeds)
    print(f"{len(arms)} arms ({', '.join(arms)}), {effort.trials} trials, {effort.finalists} x {effort.seeds} finals")
    print("mean ratio of the test error to that under a constant rate")
    print(f"{'problem':16}" + "".join(f"{one:>22}" for one in SCHEDULES[1:]))
    every, start = [], time.perf_counter()
    for problem in problems:
        found = ratios(raced(problem, arms, effort, options.warm_up, options.storage), arms)
        every.append(found)
        means = np.exp(found.mean(axis=(0, 2)))
        print(f"{problem:16}" + "".join(f"{one:22.3f}" for one in means[1:]), flush=True)
    logs = np.array(every)  # (problems, arms, schedules, seeds)
    best = np.bincount(logs.mean(axis=3).argmin(axis=2).ravel(), minlength=len(SCHEDULES))
    print(f"\n{best.sum()} pairs of an arm and a problem")
    print("schedule              best in  better in  worse in  mean ratio to a constant rate's")
    for place, name in enumerate(SCHEDULES):
        pairs = [interval(one) for one in logs[:, :, place].reshape(-1, effort.seeds)]
        better, worse = sum(high < 0 for _, _, high in pairs), sum(low > 0 for _, low, _ in pairs)
        whole = told(interval(logs[:, :, place].mean(axis=(1, 2)))) if place and len(problems) > 1 else ""
        print(f"{name:20} {best[place]:8d} {better:10d} {worse:9d}  {whole}")
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
