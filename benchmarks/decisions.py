"""How often is a decision wrong, and how often does it see a difference that is there?

Made-up races, so quick: each arm's score is a landscape over its searched dimensions plus the noise of seeds and of
test examples; trials, finals and the choice run as in a race. Equal arms draw their own points and runs, so that any
winner among them is false, and any arm called behind is so falsely: each in at most 5 % of the races. "At most so much
from the best" must hold in 95 % of the races, of equal arms and of planted gaps. Gaps of two and three spreads of the
seeds, and in a loss of half the standard error over the test examples, are to be named. Speed is judged on quadratics
of known rate, and looking again at races that go on.

    python benchmarks/decisions.py --races 400
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import binomtest, qmc

from fallline.racing.decision import Decision, Entrant, decide, fixed
from fallline.racing.decision.records import LEVEL
from fallline.racing.decision.speed import steps_to
from fallline.racing.search import about, even_places

Floats = NDArray[np.float64]

TRIALS, FINALISTS, SEEDS = 16, 5, 10
NOISE = 0.02  # of one run's loss
STEEPNESS, EASE, CHANCE = 4.0, 1.9, 0.6  # of accuracy: of the landscape, of an example, and of a run on an example
UNTRAINED = {"loss": 2.3, "accuracy": 0.1}


def valley(curvature: float) -> Callable[[Floats], Floats]:
    return lambda points: np.asarray(curvature * ((points - 0.6) ** 2).sum(axis=1))


def cliff(points: Floats) -> Floats:
    """The best lies at the edge of what diverges, as often with learning rates."""
    below = 0.6 - points
    return np.where((below > 0).all(axis=1), below.sum(axis=1), UNTRAINED["loss"])


LANDSCAPES = {"flat": valley(0.2), "valley": valley(1.0), "narrow": valley(4.0), "cliff": cliff}


@dataclass(frozen=True)
class Setting:
    """What the races of a row have in common; a gap is that of the last arm, in the landscape's unit."""

    metric: str
    arms: int = 2
    dimensions: int = 1
    examples: int = 360
    seeds: int = SEEDS
    stages: int = 1
    gap: float = 0.0
    hardness: float = 0.3  # of examples, in a loss
    trials: int = TRIALS
    finalists: int = FINALISTS
    given: bool = False  # whether the first arm's configuration is given, as good as a search's on average


@dataclass(frozen=True, eq=False)
class World:
    """What all arms of a race share: its examples and its seeds."""

    rng: np.random.Generator
    setting: Setting
    landscape: Callable[[Floats], Floats]
    hard: Floats  # (examples,) of the test split
    hard_valid: Floats
    seeds: Floats  # (seeds,)

    def quality(self, points: Floats, gap: float) -> Floats:
        return np.asarray(self.landscape(points) + gap)

    def tuned(self, quality: Floats) -> Floats:
        """Validation scores (n,) of one run each."""
        if self.setting.metric == "loss":
            return quality + NOISE * self.rng.standard_normal(len(quality))
        return np.asarray(self.right(self.hard_valid, quality).mean(axis=1))

    def right(self, hard: Floats, quality: Floats) -> Floats:
        """Which examples (n, examples) a run of each quality gets right."""
        chance = self.rng.standard_normal((len(quality), len(hard)))
        return np.asarray(hard - STEEPNESS * quality[:, None] + CHANCE * chance > 0, dtype=np.float64)

    def finals(self, quality: Floats) -> tuple[Floats, Floats]:
        """Validation scores (n, seeds) and contributions of examples (n, seeds, examples) of runs on fresh seeds."""
        shape = len(quality), self.setting.seeds
        if self.setting.metric == "accuracy":
            each = np.repeat(quality, self.setting.seeds)
            validation = self.right(self.hard_valid, each).mean(axis=1).reshape(shape)
            return validation, self.right(self.hard, each).reshape(*shape, -1)
        runs, own = self.rng.standard_normal((2, *shape))
        level = quality[:, None] + NOISE * self.seeds
        test = level + NOISE * runs
        noise = 0.1 * self.rng.standard_normal((*shape, len(self.hard)))
        weight = self.hard / self.setting.hardness - 1  # what is worse is so on hard examples above all
        examples = test[..., None] + self.hard + noise + weight * quality[:, None, None]
        return level + NOISE * (0.7 * runs + 0.7 * own), examples


def make_world(setting: Setting, landscape: str, rng: np.random.Generator) -> World:
    if setting.metric == "loss":
        hard = setting.hardness * rng.exponential(size=(2, setting.examples))
    else:
        hard = EASE + rng.standard_normal((2, setting.examples))
    return World(rng, setting, LANDSCAPES[landscape], hard[0], hard[1], rng.standard_normal(setting.seeds))


def even_points(world: World, gap: float) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Points (trials, dimensions) with validation scores and stages: scrambled Sobol, or in two stages on one line."""
    rng, setting = world.rng, world.setting
    if setting.dimensions > 1:
        points = qmc.Sobol(setting.dimensions, scramble=True, rng=rng).random(setting.trials)
        return points, world.tuned(world.quality(points, gap)), np.zeros(setting.trials, dtype=np.int64)
    sign = 1.0 if setting.metric == "loss" else -1.0
    places, scores, stages = first_and_second(
        rng, sign, setting.stages, lambda places: world.tuned(world.quality(places[:, None], gap)), setting.trials
    )
    return places[:, None], scores, stages


def first_and_second(
    rng: np.random.Generator, sign: float, stages: int, tuned: Callable[[Floats], Floats], trials: int = TRIALS
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Places on a line from 0 to 1 with validation scores and stages, as a race draws them.

    In one stage there is one random point of each stretch, as of Sobol's; in two, half of them are an even grid, and
    the others one about the best of these.
    """
    first = trials // stages
    if stages == 1:
        places = (np.arange(first) + rng.random(first)) / first
        return places, tuned(places), np.zeros(trials, dtype=np.int64)
    wide = even_places(first, int(rng.integers(2**32)))
    scores = tuned(np.array(wide))
    low, high = about(wide, int(np.nan_to_num(sign * scores, nan=np.inf).argmin()), is_open=True)
    second = low + (high - low) * np.array(even_places(first, int(rng.integers(2**32))))
    return np.append(wide, second), np.append(scores, tuned(second)), np.repeat([0, 1], first)


def make_arm(world: World, name: str, gap: float) -> tuple[Entrant, Floats]:
    """Tune, run the best on fresh seeds; and the true qualities (finalists,)."""
    sign = 1.0 if world.setting.metric == "loss" else -1.0
    points, scores, stages = even_points(world, gap)
    finals = np.argsort(sign * scores, kind="stable")[: world.setting.finalists]
    quality = world.quality(points, gap)[finals]
    validation, examples = world.finals(quality)
    places = points[:, 0] if world.setting.dimensions == 1 else None
    entrant = Entrant(name, scores, finals, validation, examples.mean(axis=2), examples, places=places, stages=stages)
    return entrant, quality


def true_score(metric: str, quality: Floats) -> Floats:
    """What a configuration scores over all examples and seeds; the loss less what all examples share."""
    if metric == "loss":
        return quality
    return np.asarray(ndtr((EASE - STEEPNESS * quality) / np.hypot(1.0, CHANCE)))


@dataclass(frozen=True)
class Race:
    """One race's arms, and the true score of each one's finalists."""

    entrants: list[Entrant]
    scores: list[Floats]
    metric: str

    def decision(self, entrants: list[Entrant] | None = None, look: int | None = None) -> Decision:
        return decide(
            entrants or self.entrants,
            higher_is_better=self.metric == "accuracy",
            untrained=UNTRAINED[self.metric],
            bounds=(0.0, 1.0) if self.metric == "accuracy" else (0.0, np.inf),
            look=look or 1,
        )


def make_race(setting: Setting, number: int) -> Race:
    rng = np.random.default_rng([number, setting.arms, setting.dimensions, setting.examples])
    world = make_world(setting, list(LANDSCAPES)[number % len(LANDSCAPES)], rng)
    gaps = [0.0] * (setting.arms - 1) + [setting.gap]
    arms = [make_arm(world, f"arm {place:2d}", gap) for place, gap in enumerate(gaps)]
    if setting.given:
        middle = np.array([typical_quality(replace(setting, given=False), number % len(LANDSCAPES))])
        validation, examples = world.finals(middle)
        arms[0] = fixed("arm  0", validation[0], examples[0].mean(axis=1), examples[0]), middle
    return Race([arm for arm, _ in arms], [true_score(setting.metric, one) for _, one in arms], setting.metric)


@cache
def typical_quality(setting: Setting, landscape: int) -> float:
    """The mean quality that a search comes to."""
    sign = 1.0 if setting.metric == "loss" else -1.0
    races = [make_race(setting, landscape + len(LANDSCAPES) * (1000 + number)) for number in range(300)]
    scores = np.mean([one.scores[0][chosen(one.entrants[0], sign)] for one in races])
    if setting.metric == "loss":
        return float(scores)
    return float(brentq(lambda quality: true_score("accuracy", np.array([quality]))[0] - scores, -1.0, 2.0))


@dataclass(frozen=True)
class Outcome:
    """What is counted of a race."""

    winner: bool
    false_winner: bool
    false_behind: bool
    covered: bool
    cost: float
    split: float  # what of it the test examples alone leave


def outcome(race: Race, decision: Decision, gap: float) -> Outcome:
    """Count a decision; with a gap the last arm is rightly behind."""
    last = race.entrants[-1].name
    sign = 1.0 if race.metric == "loss" else -1.0
    taken = {one.name: chosen(one, sign) for one in race.entrants}
    truth = {one.name: sign * scores[taken[one.name]] for one, scores in zip(race.entrants, race.scores, strict=True)}
    assert decision.take is not None
    ends = decision.distances[decision.take.arm]
    assert ends is not None
    most = ends[1]
    rightly = {last} if gap else set()
    return Outcome(
        decision.winner is not None if not gap else decision.winner == race.entrants[0].name or last in decision.behind,
        decision.winner is not None and (not gap or decision.winner == last),
        bool(set(decision.behind) - rightly),
        truth[decision.take.arm] - min(truth.values()) <= most + 1e-12,
        most,
        decision.split_alone or 0.0,
    )


def chosen(entrant: Entrant, sign: float) -> int:
    if not entrant.searched:
        return 0
    found = np.concatenate([entrant.trials[entrant.finals, None], entrant.validation], axis=1)
    return int((sign * found).sum(axis=1).argmin())


def shown(count: int, races: int) -> str:
    ends = binomtest(count, races).proportion_ci(0.95, method="exact")
    return f"{count / races:5.3f} ({ends.low:.3f} to {ends.high:.3f})"


def row(setting: Setting, races: int) -> list[Outcome]:
    made = (make_race(setting, number) for number in range(races))
    return [outcome(race, race.decision(), setting.gap) for race in made]


def equal_arms(races: int) -> float:
    """The table of equal arms; the largest share of false statements."""
    print(f"equal arms, {races} races a row: share with a false winner, with an arm falsely behind, and in which 'at")
    print("most so far from the best' held of the configurations taken; X is its mean, and what examples alone leave")
    print(
        "arms dimensions stages trials   metric examples  false winner           false behind           held       X  "
        " split"
    )
    worst = 0.0
    plain = [
        Setting(metric, arms, dimensions, examples)
        for arms, dimensions, metric, examples in itertools.product(
            (2, 12), (1, 2, 3), ("loss", "accuracy"), (360, 2000)
        )
    ]
    staged = [Setting(metric, arms, stages=2) for arms, metric in itertools.product((2, 12), ("loss", "accuracy"))]
    efforts = [(8, 2, 5), (32, 5, 10), (48, 8, 12)]
    staged += [
        Setting("loss", arms, stages=2, trials=trials, finalists=finalists, seeds=seeds)
        for arms, (trials, finalists, seeds) in itertools.product((2, 12), efforts)
    ]
    mine = [Setting(metric, given=True) for metric in ("loss", "accuracy")]
    for setting in (*plain, *staged, *mine):
        found = row(setting, races)
        false, behind = sum(one.false_winner for one in found), sum(one.false_behind for one in found)
        held = sum(one.covered for one in found)
        worst = max(worst, false / races, behind / races)
        print(
            f"{setting.arms:4d} {setting.dimensions:10d} {'given' if setting.given else setting.stages:>6} "
            f"{setting.trials:6d} "
            f"{setting.metric:>8} {setting.examples:8d}  {shown(false, races)}  {shown(behind, races)}  "
            f"{held / races:5.3f} {np.mean([one.cost for one in found]):8.4f} "
            f"{np.mean([one.split for one in found]):8.4f}",
            flush=True,
        )
    return worst


def accuracy_gap(spreads: float, examples: int) -> float:
    """By how much the landscape must be worse for so many spreads of the seeds in accuracy."""
    hard = EASE + np.random.default_rng(0).standard_normal(200_000)
    right = ndtr(hard / CHANCE)
    spread = float(np.sqrt((right * (1 - right)).mean() / examples))
    best = float(true_score("accuracy", np.zeros(1))[0])
    goal = best - spreads * spread
    return float(brentq(lambda gap: float(true_score("accuracy", np.array([gap]))[0]) - goal, 0.0, 2.0))


GATE = 9.0
"""The standard error of a loss over the examples in units of the paired error: 6 to 17 were seen."""


def planted_rows() -> Iterable[tuple[str, Setting, float]]:
    """What is planted, with the share of the races that should name it; NaN where none is asked for."""
    paired = NOISE * np.sqrt(2 / SEEDS)
    gate = GATE * paired
    for stages in (1, 2):
        for spreads, wanted in ((2.0, 0.55), (3.0, 0.90)):
            gap = accuracy_gap(spreads, 360)
            yield f"{spreads:g} spreads of accuracy", Setting("accuracy", stages=stages, gap=gap), wanted
        for spreads in (2.0, 3.0):
            yield f"{spreads:g} spreads of loss", Setting("loss", stages=stages, gap=spreads * NOISE), np.nan
        hard = Setting("loss", stages=stages, gap=gate / 2, hardness=gate * np.sqrt(360))
        yield "loss, half the old gate", hard, 0.80


def planted(races: int) -> None:
    """The table of planted gaps, landscape by landscape."""
    print(
        f"\nplanted gaps, two arms, one dimension, 360 examples, {races} races a row: share that names the better arm"
    )
    print("gap                        stages  landscape  named                   false   held       X")
    for name, setting, wanted in planted_rows():
        found: dict[str, list[Outcome]] = {one: [] for one in LANDSCAPES}
        for number, landscape in zip(range(races), itertools.cycle(LANDSCAPES)):
            race = make_race(setting, number)
            found[landscape].append(outcome(race, race.decision(), setting.gap))
        smooth = [one for landscape in ("flat", "valley", "narrow") for one in found[landscape]]
        for title, some in (("smooth", smooth), ("cliff", found["cliff"])):
            named, count = sum(one.winner for one in some), len(some)
            goal = f"  wanted {wanted:.2f}" if title == "smooth" and wanted == wanted else ""
            print(
                f"{name:26} {setting.stages:6d} {title:>10}  {shown(named, count)}  "
                f"{sum(one.false_winner or one.false_behind for one in some) / count:5.3f}  "
                f"{sum(one.covered for one in some) / count:5.3f} {np.mean([one.cost for one in some]):8.4f} "
                f"{goal}",
                flush=True,
            )


def speed(races: int) -> None:
    """How often the interval of heavy ball's steps over descent's holds the true ratio, on quadratics."""
    steps = np.arange(5, 605, 5)
    curvature = np.geomspace(0.02, 1.0, 6)

    def curves(rng: np.random.Generator, momentum: float, count: int) -> Floats:
        start = rng.standard_normal((count, 6))
        before, here, losses = start.copy(), start.copy(), []
        for step in range(1, steps[-1] + 1):
            before, here = here, here - curvature * here + momentum * (here - before)
            if step % 5 == 0:
                losses.append(0.5 * (curvature * here**2).sum(axis=1))
        return np.stack(losses, axis=1)

    held, ratios = 0, []
    many = [curves(np.random.default_rng(99), momentum, 4000) for momentum in (0.0, 0.6)]
    for number in range(races):
        rng = np.random.default_rng([number, 1])
        arms = [curves(rng, momentum, SEEDS) for momentum in (0.0, 0.6)]
        entrants = [
            fixed(name, one[:, -1] * 0, one[:, -1] * 0 + rng.standard_normal(SEEDS), curves=one)
            for name, one in zip(("descent", "heavy ball"), arms, strict=True)
        ]
        made = decide(entrants, higher_is_better=False, steps=steps)
        assert made.speeds is not None
        assert made.take is not None
        truth = [np.log(steps_to(one, steps.astype(float), made.speeds.level)[0]).mean() for one in many]
        ratio = float(np.exp(truth[1] - truth[0]))
        found = made.speeds.of["heavy ball" if made.take.arm == "descent" else "descent"]
        goal = ratio if made.take.arm == "descent" else 1 / ratio
        held += found.low <= goal <= found.high
        ratios.append(ratio)
    print(
        f"\nspeed on quadratics, {races} races: the true ratio, {np.mean(ratios):.3f}, is held in {shown(held, races)}"
    )


def looks(races: int) -> None:
    """False winners and power where the race goes on until it is decided, at 10, 20 and 40 seeds."""
    print(f"\nlooking again at 10, 20 and 40 seeds, stopping when decided, {races} races a row")
    print("gap                     decided                 false                   mean seeds, fixed 40 decides")
    for name, gap in (("none", 0.0), ("2 spreads of accuracy", accuracy_gap(2.0, 360))):
        decided, false, used, whole = 0, 0, 0, 0
        for number in range(races):
            race = make_race(Setting("accuracy", stages=2, seeds=40, gap=gap), number)
            for look, seeds in enumerate((10, 20, 40), start=1):
                made = race.decision([first(one, seeds) for one in race.entrants], look)
                if made.behind:
                    break
            decided += bool(made.behind)
            false += made.winner is not None and (not gap or made.winner == race.entrants[-1].name)
            used += seeds
            whole += bool(race.decision().behind)
        print(f"{name:22}  {shown(decided, races)}  {shown(false, races)}  {used / races:5.1f}  {whole / races:5.3f}")


def first(entrant: Entrant, seeds: int) -> Entrant:
    assert entrant.examples is not None
    return replace(
        entrant, validation=entrant.validation[:, :seeds], test=entrant.test[:, :seeds],
        examples=entrant.examples[:, :seeds],
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--races", type=int, default=400, help="races for each row of the tables")
    parser.add_argument("--only", choices=["equal", "planted", "speed", "looks"], help="one table alone")
    options = parser.parse_args()
    start = time.perf_counter()
    if options.only in (None, "planted"):
        planted(options.races)
    if options.only in (None, "speed"):
        speed(options.races)
    if options.only in (None, "looks"):
        looks(options.races)
    if options.only in (None, "equal"):
        worst = equal_arms(options.races)
        print(f"false statements among equals, at most {LEVEL:.0%} wanted: {worst:.1%} in the worst row")
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
