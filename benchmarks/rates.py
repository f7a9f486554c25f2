"""How near to the best learning rate does a race's search come? One stage over five decades against two over seven.

Made-up races with the package's own points: `before` draws 16 Sobol points over five decades, `after` 8 even ones over
seven and 8 about the best of these. The best rate is the one whose loss is least on a dense grid: on quadratics in
closed form (noisy descent, one a race, their best rates evenly over the three middle decades of the old space); on
handwritten digits the mean of all seeds, trained once at rates that lie a ninth apart about the best (elsewhere a half)
and read off in between. There, as in a race, one seed tunes, the five best run on ten others, and the best mean is
taken. Found is a rate within a factor of 1.5 of the best; as good is one that loses no more than the worse of the two
rates that far from it (than the better, where the other diverges). The excess is what the rate loses, as a share of
what the best one gains over no training (of quadratics, of the best loss).

Last, on quadratics, from how many trials on two stages over seven decades find the better rates than one.

    python -m benchmarks.rates --races 1000
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from fallline import rules
from fallline.problems import digits
from fallline.racing.arms import Arm
from fallline.racing.engines import choose_engine
from fallline.racing.runs import Outcome, Work, run_of
from fallline.racing.search import near_places, only_range, sobol_points, wide_places
from fallline.symbolic import Rule

Floats = NDArray[np.float64]
Tuned = Callable[[Floats], Floats]

TRIALS, FINALISTS, SEEDS, BANK_SEEDS = 16, 5, 10, 24
FACTOR = 1.5
#: The spaces that were searched before.
PLAIN, ADAPTIVE = (1e-4, 10.0), (1e-6, 0.1)


def before(rule: Rule, space: tuple[float, float], race: int, tuned: Tuned) -> tuple[Floats, Floats]:
    """Rates and scores of one stage."""
    points = sobol_points(Arm("before", rule, {"lr": space}), TRIALS, race)
    rates = np.array([float(point["lr"]) for point in points])
    return rates, tuned(rates)


def after(rule: Rule, race: int, tuned: Tuned, trials: int = TRIALS, stages: int = 2) -> tuple[Floats, Floats]:
    """Rates and scores of even points in the arm's own space, in two stages or one."""
    arm, first = Arm("after", rule), -(-trials // stages)
    found = only_range(arm)
    assert found is not None
    wide = wide_places(arm, first, race)
    rates = np.array([found[1].at(place) for place in wide])
    scores = tuned(rates)
    near = near_places(arm, wide, int(scores.argmin()), trials - first, race)
    more = np.array([found[1].at(place) for place in near])
    return np.append(rates, more), np.append(scores, tuned(more) if len(more) else more)


@dataclass(frozen=True)
class Found:
    """Of each race how far the rate is from the best, as a factor, whether it is as good, and what it loses."""

    factors: list[float] = field(default_factory=list)
    as_good: list[bool] = field(default_factory=list)
    excess: list[float] = field(default_factory=list)

    def add(self, rate: float, best: float, loss: Callable[[Floats], Floats], untrained: float | None) -> None:
        """Note a race; the excess is over what the best gains, or, without an untrained loss, over its own."""
        found, least, below, above = loss(np.array([rate, best, best / FACTOR, best * FACTOR])).tolist()
        most = max(below, above) if np.isfinite(max(below, above)) else min(below, above)
        self.factors.append(max(rate / best, best / rate))
        self.as_good.append(self.factors[-1] <= FACTOR or found <= most)
        self.excess.append((found - least) / (least if untrained is None else untrained - least))

    def told(self) -> str:
        shares = [(np.array(self.factors) <= FACTOR).sum(), sum(self.as_good)]
        told = []
        for hits in map(int, shares):
            ends = binomtest(hits, len(self.factors)).proportion_ci(0.95, method="exact")
            told.append(f"{hits / len(self.factors):5.3f} ({ends.low:.3f} to {ends.high:.3f})")
        numbers = (np.median(self.factors), np.quantile(self.factors, 0.9))
        return "  ".join([*told, *(f"{one:5.2f}" for one in numbers), f"{np.median(self.excess):7.4f}",
                          f"{np.quantile(self.excess, 0.9):7.4f}"])  # fmt: skip

    @property
    def share(self) -> float:
        return float(np.mean(np.array(self.factors) <= FACTOR))


def quadratics(races: int) -> dict[str, Found]:
    found = {name: Found() for name in ("before", "after")}
    for race in range(races):
        loss, best = a_quadratic(race)
        for name, (rates, scores) in {
            "before": before(rules.gradient_descent, PLAIN, race, loss),
            "after": after(rules.gradient_descent, race, loss),
        }.items():
            found[name].add(float(rates[scores.argmin()]), best, loss, None)
    return found


def by_trials(races: int) -> None:
    """The table of numbers of trials."""
    print("\nquadratics, even points over seven decades: share within the factor, and the median excess")
    print("trials  one stage          two stages")
    for trials in (4, 5, 6, 8, 12, 16, 24, 32):
        found = {stages: Found() for stages in (1, 2)}
        for race in range(races):
            loss, best = a_quadratic(race)
            for stages, own in found.items():
                rates, scores = after(rules.gradient_descent, race, loss, trials, stages)
                own.add(float(rates[scores.argmin()]), best, loss, None)
        print(
            f"{trials:6d}  " + "      ".join(f"{one.share:5.3f} {np.median(one.excess):7.3f}" for one in found.values())
        )


def a_quadratic(race: int) -> tuple[Tuned, float]:
    """One with its best rate."""
    loss = quadratic(np.random.default_rng([11, race]))
    grid = np.geomspace(1e-6, 1e3, 2000)
    return loss, float(grid[loss(grid).argmin()])


def quadratic(rng: np.random.Generator) -> Tuned:
    """The expected loss of descent with noisy gradients, from a random start, by learning rate."""
    curvature = np.geomspace(1.0, 10 ** -rng.uniform(0.5, 3.0), 20) * 2 / 10 ** rng.uniform(-3.0, 0.0)
    start, steps = rng.standard_normal(20), int(10 ** rng.uniform(1.0, 3.0))
    noise = float(rng.choice([0.01, 0.1, 1.0]))

    def loss(rates: Floats) -> Floats:
        shrunk = (1 - rates[:, None] * curvature) ** 2
        with np.errstate(all="ignore"):
            kept = shrunk**steps
            spread = (noise * curvature * rates[:, None]) ** 2 * (1 - kept) / (1 - shrunk)
            found = 0.5 * (curvature * (start**2 * kept + spread)).sum(axis=1)
        return np.where(found < 1e12, found, np.inf)

    return loss


@dataclass(frozen=True, eq=False)
class Bank:
    """Validation losses (rates, seeds) of an arm, infinite where a run diverged; lower is better in any metric."""

    rates: Floats
    losses: dict[str, Floats]

    def read(self, metric: str, rates: Floats, seeds: NDArray[np.int64]) -> Floats:
        """Losses (rates, seeds), read off between the neighbours, or at the nearest where one of these diverged."""
        losses, place = self.losses[metric][:, seeds], np.interp(np.log(rates), np.log(self.rates), self.numbers)
        below, nearest = np.floor(place).astype(int), np.rint(place).astype(int)
        above, share = np.minimum(below + 1, len(self.rates) - 1), (place - below)[:, None]
        sound = np.isfinite(losses[below]) & np.isfinite(losses[above])
        with np.errstate(invalid="ignore"):
            between = losses[below] + share * (losses[above] - losses[below])
        return np.asarray(np.where(sound, between, losses[nearest]))

    @property
    def numbers(self) -> Floats:
        return np.arange(len(self.rates), dtype=np.float64)


def bank(rule: Rule, ends: tuple[float, float]) -> Bank:
    """Train an arm on the digits at many rates: over its space, and densely about the best."""
    arm = Arm(rule)
    wide = np.geomspace(ends[0], ends[1], round(np.log10(ends[1] / ends[0]) / 0.176))
    coarse = trained(arm, wide[:, None].repeat(3, axis=1))
    best = wide[np.mean([[run.valid_loss[-1] for run in row] for row in coarse], axis=1).argmin()]
    rates = np.sort(np.append(wide, np.geomspace(best / 10, best * 10, 40)))
    runs = trained(arm, rates[:, None].repeat(BANK_SEEDS, axis=1))
    return Bank(rates, {
        "loss": as_losses(runs, lambda run: run.valid_loss[-1]),
        "accuracy": as_losses(runs, lambda run: -run.valid_metric[-1]),
    })  # fmt: skip


def trained(arm: Arm, rates: Floats) -> list[list[Outcome]]:
    """The runs of rates (rates, seeds), a seed a column."""
    problem, seeds = digits(), rates.shape[1]
    runs = dict(enumerate(run_of(arm, {"lr": float(rate)}, problem, 1000 + number % seeds)
                          for number, rate in enumerate(rates.ravel())))  # fmt: skip
    outcomes: dict[int, Outcome] = {}
    with closing(choose_engine()) as engine:
        work = Work(runs, batched=True, score=False, width=128, seconds=1e-4, wanted=list)
        for numbers, some in engine.train(problem, work, lambda progress: None):
            outcomes.update(zip(numbers, some, strict=True))
    return [[outcomes[row * seeds + seed] for seed in range(seeds)] for row in range(len(rates))]


def as_losses(runs: Iterable[Iterable[Outcome]], read: Callable[[Outcome], float]) -> Floats:
    return np.array([[np.inf if run.diverged else read(run) for run in row] for row in runs], dtype=np.float64)


UNTRAINED = {"loss": 2.3, "accuracy": -0.1}


def on_digits(found: Bank, metric: str, rule: Rule, space: tuple[float, float], races: int) -> dict[str, Found]:
    mean = found.losses[metric].mean(axis=1)
    best = float(found.rates[mean.argmin()])
    everyone, told = np.arange(BANK_SEEDS), {name: Found() for name in ("before", "after")}

    def loss(rates: Floats) -> Floats:
        return np.asarray(found.read(metric, rates, everyone).mean(axis=1))

    for race in range(races):
        seeds = np.random.default_rng([12, race]).permutation(BANK_SEEDS)

        def tuned(rates: Floats, seeds: NDArray[np.int64] = seeds) -> Floats:
            return found.read(metric, rates, seeds[:1])[:, 0]

        for name, (rates, scores) in {
            "before": before(rule, space, race, tuned), "after": after(rule, race, tuned)
        }.items():  # fmt: skip
            finalists = rates[np.argsort(scores, kind="stable")[:FINALISTS]]
            rate = finalists[found.read(metric, finalists, seeds[: SEEDS + 1]).mean(axis=1).argmin()]
            told[name].add(float(rate), best, loss, UNTRAINED[metric])
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--races", type=int, default=1000, help="races for each row")
    options = parser.parse_args()
    print(f"{TRIALS} trials, {options.races} races a row: how many take a rate within a factor of {FACTOR} of the best")
    print("(found), or as good; the factor and the excess, median and 90 %")
    rows: dict[str, dict[str, Found]] = {"quadratics, descent": quadratics(options.races)}
    for rule, ends, space in (
        (rules.gradient_descent, (1e-5, 1e2), PLAIN), (rules.momentum, (1e-5, 1e2), PLAIN),
        (rules.adam, (1e-7, 1.0), ADAPTIVE),
    ):  # fmt: skip
        runs = bank(rule, ends)
        for metric in ("loss", "accuracy"):
            rows[f"digits by {metric}, {rule.name}"] = on_digits(runs, metric, rule, space, options.races)
    for title, row in rows.items():
        for name, found in row.items():
            print(f"{title:36} {name:6} {found.told()}", flush=True)
    by_trials(options.races)


if __name__ == "__main__":
    main()
