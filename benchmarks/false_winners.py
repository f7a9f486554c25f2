"""How often does a race name a false winner, and how often does it find a real gap?

Real races on small noisy problems. One optimizer runs under two names, each with its own draw of trial points, so that
any winner is false; at most 5 % of the races should name one. Then the second name carries a handicap: a constant error
in its gradients, of a size that leaves its mean score, at its best learning rate, three standard deviations over the
seeds behind. At least 60 % of the races should find that with the learning rate alone. Both with one, two and three
searched dimensions. `--simulated` judges made-up scores instead: no training, so quick, over noises and landscapes.
`--twelve` judges made-up scores of twelve equal arms, of which at most 5 % of the races may call any behind another,
and then of eleven equal ones and a worse one.

    python benchmarks/false_winners.py --races 200 --processes 2
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binomtest, qmc
from torch import nn

import fallline as fl
from fallline.racing import Arm, Effort
from fallline.racing.arms.dimensions import Range
from fallline.racing.judging.records import Comparison, Entry, Final, Trial, Verdict
from fallline.racing.judging.verdict import decide

SPREADS = 3.0
FALSE_AT_MOST, FOUND_AT_LEAST = 0.05, 0.60
QUESTIONS = ("settings", "study", "split")
#: Searched dimensions; friction is 1 - momentum.
DIMENSIONS = {"lr": (1e-4, 10.0), "friction": (0.01, 1.0), "weight_decay": (1e-6, 0.1)}
#: Sizes of the handicap that are tried.
PULLS = (0.0, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2)
DATA_SETS = 10


@fl.rule
def pulled_momentum(p, g, b, *, lr=1e-2, friction=1.0, weight_decay=0.0, pull=0.0):  # type: ignore[no-untyped-def]
    """Momentum whose gradients are off by a constant."""
    b = (1 - friction) * b + g + weight_decay * p + pull
    return lr * b, b


def tiny_network(data_set: int) -> fl.Problem:
    """Two noisy classes in four dimensions, drawn anew for each data set, and a network of eight hidden units."""
    generator = torch.Generator().manual_seed(data_set)

    def draw(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.randn(count, 4, generator=generator)
        height = 2 * torch.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2] + 0.5 * torch.randn(count, generator=generator)
        return x, (height > 0).long()

    return fl.Problem(
        model=lambda: nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2)),
        loss=nn.functional.cross_entropy,
        train=draw(256),
        valid=draw(64),
        test=draw(512),
        batch=16,
        epochs=20,
        name=f"tiny network {data_set}",
    )


def arm(name: str, dimensions: int, pull: float) -> Arm:
    return Arm(name, pulled_momentum, dict(itertools.islice(DIMENSIONS.items(), dimensions)), {"pull": pull})


@dataclass(frozen=True)
class Calibration:
    """The handicap of a data set, and the gap that it makes in units of the seeds' spread."""

    pull: float
    spread: float
    gap: float


def calibrate(data_set: int) -> Calibration:
    """Find the pull that costs three spreads, and measure it again with other trials and seeds."""
    problem = tiny_network(data_set)
    means, spreads = best_scores(problem, PULLS, seed=0)
    gaps = (means - means[0]) / np.sqrt((spreads**2 + spreads[0] ** 2) / 2)
    beyond = int(np.argmax(gaps >= SPREADS))
    pull = float(np.interp(SPREADS, gaps[beyond - 1 : beyond + 1], PULLS[beyond - 1 : beyond + 1]))
    means, spreads = best_scores(problem, (0.0, pull), seed=1)
    spread = float(np.sqrt((spreads**2).mean()))
    return Calibration(pull, spread, float(means[1] - means[0]) / spread)


def best_scores(
    problem: fl.Problem, pulls: Sequence[float], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each pull the mean test score at the best learning rate, and its standard deviation over 40 seeds."""
    arms = [arm(str(pull), 1, pull) for pull in pulls]
    result = fl.race(problem, arms, Effort(trials=32, finalists=5, seeds=40), seed=seed, storage=None)
    best = [min(result[one.name].entry.finals, key=lambda final: float(final.scores.mean())) for one in arms]
    return np.array([final.scores.mean() for final in best]), np.array([final.scores.std(ddof=1) for final in best])


def hold(data_set: int, dimensions: int, pull: float, seed: int) -> Comparison:
    """One race of the sound arm against one that is pulled."""
    arms = [arm("sound", dimensions, 0.0), arm("pulled", dimensions, pull)]
    return fl.race(tiny_network(data_set), arms, "standard", seed=seed, storage=None).verdict.comparisons[0]


def line(comparisons: Sequence[Comparison], *, planted: bool) -> tuple[str, float]:
    """A row of the table, and the share of the races that name a winner: any, or the sound arm."""
    races = len(comparisons)
    named = [one for one in comparisons if one.separated and (one.best == "sound" or not planted)]
    ends = binomtest(len(named), races).proportion_ci(0.95, method="exact")
    wrong = sum(one.separated and one.best != "sound" for one in comparisons) if planted else len(named)
    doubted = "".join(f"{sum(question in one.failed for one in comparisons) / races:10.3f}" for question in QUESTIONS)
    share = len(named) / races
    lead = np.mean([one.difference if one.best == "sound" else -one.difference for one in comparisons])
    interval = f"({ends.low:.3f} to {ends.high:.3f})"
    return f"{share:8.3f} {interval} {wrong / races:8.3f} {lead:9.3f} {doubted}", share


def real(races: int, data_sets: int, processes: int) -> None:
    """The table of real races, and whether the bars were met."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        found = list(pool.map(calibrate, range(data_sets)))
        print("data set  handicap  seed spread  gap in spreads, measured again")
        for number, one in enumerate(found):
            print(f"{number:8d} {one.pull:9.4f} {one.spread:12.4f} {one.gap:10.1f}", flush=True)
        print(
            f"\nshare of {races} races that name a winner (any of two equals, or the sound arm), its 95 % interval by"
        )
        print("Clopper and Pearson, false winners, mean lead of the sound arm, and in how many each question failed")
        print(f"dimensions      gap    named {'':16}     false      lead   {'  '.join(QUESTIONS)}")
        shares = {}
        for dimensions, planted in itertools.product(range(1, len(DIMENSIONS) + 1), (False, True)):
            sets = [race % data_sets for race in range(races)]
            pulls = [found[number].pull if planted else 0.0 for number in sets]
            settled = list(pool.map(hold, sets, [dimensions] * races, pulls, range(races)))
            text, shares[dimensions, planted] = line(settled, planted=planted)
            print(f"{dimensions:10d} {f'{SPREADS:g} spreads' if planted else 'none':>10} {text}", flush=True)
    worst, power = max(shares[dimensions, False] for dimensions, _ in shares), shares[1, True]
    print(f"false winners, at most {FALSE_AT_MOST:.0%} wanted: {worst:.1%}, {met(worst <= FALSE_AT_MOST)}")
    print(f"gap found, at least {FOUND_AT_LEAST:.0%} wanted with lr alone: {power:.1%}, {met(power >= FOUND_AT_LEAST)}")


def met(holds: bool) -> str:
    return "met" if holds else "MISSED"


TRIALS, TOP, SEEDS, EXAMPLES = 16, 5, 10, 360
UNTRAINED = 2.3
Landscape = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def valley(curvature: float) -> Landscape:
    return lambda points: curvature * ((points - 0.6) ** 2).sum(axis=1)


def cliff(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The best lies at the edge of what diverges, as often with learning rates."""
    below = 0.6 - points
    return np.where((below > 0).all(axis=1), below.sum(axis=1), UNTRAINED)


LANDSCAPES = {"flat": valley(0.2), "valley": valley(1.0), "narrow": valley(4.0), "cliff": cliff}


def simulated_arm(
    name: str, *, landscape: Landscape, noise: float, gap: float, dimensions: int, hardness: NDArray[np.float64],
    rng: np.random.Generator,
) -> Entry:  # fmt: skip
    """Tune on Sobol points of a landscape, then run the best ones on fresh seeds; `noise` is that of one run."""
    points = qmc.Sobol(dimensions, scramble=True, rng=rng).random(TRIALS)
    quality = 0.3 + gap + landscape(points)
    validation = quality + noise * rng.standard_normal(TRIALS)
    names = [f"dimension_{i}" for i in range(dimensions)]
    trials = tuple(
        Trial(dict(zip(names, point, strict=True)), float(score), False)
        for point, score in zip(points.tolist(), validation, strict=True)
    )
    finals = tuple(
        simulated_final(int(best), quality[best] + noise * rng.standard_normal(SEEDS), hardness, rng)
        for best in np.argsort(validation)[:TOP]
    )
    return Entry(name, trials, finals, dict.fromkeys(names, Range(0.0, 1.0, "linear")), 12.0, 1e-5, stratified=True)


def simulated_final(
    trial: int, scores: NDArray[np.float64], hardness: NDArray[np.float64], rng: np.random.Generator
) -> Final:
    own = 0.1 * rng.standard_normal((len(scores), len(hardness)))
    examples = scores[:, None] + hardness - hardness.mean() + own - own.mean(axis=1, keepdims=True)
    return Final(trial, scores, np.zeros(len(scores), dtype=bool), examples)


def simulated_verdicts(
    races: int, *, landscape: Landscape, noise: float, gap: float, dimensions: int
) -> Iterator[Verdict]:
    """Verdicts of independent races of arm "a" against arm "b", which is worse by `gap`."""
    for race in range(races):
        rng = np.random.default_rng(race)
        hardness = 0.3 * rng.exponential(size=EXAMPLES)
        a, b = (
            simulated_arm(
                name, landscape=landscape, noise=noise, gap=own, dimensions=dimensions, hardness=hardness, rng=rng
            )
            for name, own in (("a", 0.0), ("b", gap))
        )
        yield decide([a, b], higher_is_better=False, untrained=UNTRAINED, seed=race)


def simulated(races: int) -> None:
    """The table of simulated races: what each question adds to those before."""
    print(f"share of {races} races that name a winner (true gap 0) or the better arm, by the questions asked")
    print("dimensions  landscape  noise  true gap  settings  settings+study  verdict")
    for dimensions, (name, landscape), noise, gap in itertools.product(
        (1, 2), LANDSCAPES.items(), (0.02, 0.1), (0.0, 0.05)
    ):
        verdicts = simulated_verdicts(races, landscape=landscape, noise=noise, gap=gap, dimensions=dimensions)
        ahead = [verdict.comparisons[0] for verdict in verdicts]
        failed = [set(one.failed) for one in ahead if gap == 0 or one.best == "a"]
        settings, both, verdict = (
            sum(not one & set(QUESTIONS[:asked]) for one in failed) / races for asked in (1, 2, 3)
        )
        print(
            f"{dimensions:10d} {name:>10} {noise:6.2f} {gap:9.2f} {settings:9.3f} {both:15.3f} {verdict:8.3f}",
            flush=True,
        )


ARMS = 12


def twelve_verdict(landscape: str, noise: float, gap: float, split: bool, race: int) -> Verdict:
    """The verdict on twelve arms of which the last is worse by `gap` spreads of the seeds.

    Without `split` the score does not split by example, so that two questions decide alone.
    """
    rng = np.random.default_rng(race)
    hardness = 0.3 * rng.exponential(size=EXAMPLES)
    arms = [
        simulated_arm(
            f"arm {place}", landscape=LANDSCAPES[landscape], noise=noise, gap=gap * noise if place == ARMS - 1 else 0.0,
            dimensions=1, hardness=hardness, rng=rng,
        )
        for place in range(ARMS)
    ]  # fmt: skip
    if not split:
        arms = [replace(arm, finals=tuple(replace(one, examples=None) for one in arm.finals)) for arm in arms]
    return decide(arms, higher_is_better=False, untrained=UNTRAINED, seed=race)


def twelve(races: int, processes: int) -> None:
    """How often twelve arms, equal but for the last, have one that is called behind, and how often the worse one is."""
    print(f"share of {races} races of twelve arms in which an arm is called behind that is equal to all others, and in")
    print("which the last is, that is worse by so many spreads of the seeds; 95 % intervals by Clopper and Pearson")
    print("landscape  noise  split  gap     false behind               last behind")
    worst = 0.0
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        for name, noise, split, gap in itertools.product(LANDSCAPES, (0.02, 0.1), (False, True), (0.0, SPREADS)):
            judge = partial(twelve_verdict, name, noise, gap, split)
            verdicts = list(pool.map(judge, range(races), chunksize=20))
            behind = [{one.other for one in verdict.comparisons if one.separated} for verdict in verdicts]
            last = f"arm {ARMS - 1}"
            false = sum(bool(names - {last} if gap else names) for names in behind)
            worst = worst if gap else max(worst, false / races)
            told = shown(sum(last in names for names in behind), races) if gap else ""
            print(
                f"{name:>9} {noise:6.2f}  {'yes' if split else 'no':>5} {gap:4.0f}   {shown(false, races)}   {told}",
                flush=True,
            )
    print(f"false behind among equals, at most {FALSE_AT_MOST:.0%} wanted: {worst:.1%}, {met(worst <= FALSE_AT_MOST)}")


def shown(count: int, races: int) -> str:
    ends = binomtest(count, races).proportion_ci(0.95, method="exact")
    return f"{count / races:.3f} ({ends.low:.3f} to {ends.high:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--races", type=int, default=200, help="races for each line of the table")
    parser.add_argument("--quick", action="store_true", help="20 races a line, on two data sets")
    parser.add_argument("--processes", type=int, default=2, help="processes of one thread each that races run in")
    parser.add_argument("--simulated", action="store_true", help="judge made-up scores instead of racing")
    parser.add_argument("--twelve", action="store_true", help="judge made-up scores of twelve arms")
    options = parser.parse_args()
    races = 20 if options.quick else options.races
    if options.simulated:
        simulated(races)
    elif options.twelve:
        twelve(races, options.processes)
    else:
        real(races, 2 if options.quick else DATA_SETS, options.processes)


if __name__ == "__main__":
    main()
