"""How often does the verdict name a false winner, and how often does it find a real gap?

Simulated races of two arms, judged by the real `decide`: identical optimizers (gap 0), each with its own draw of trials
and seeds, where any winner is false; and optimizers whose losses differ by a true gap, where naming the better one is
right. Beside the verdict it counts what the first question alone (these settings) and the first two (settings and
another draw of trials) would have named.

    python benchmarks/verdict_levels.py --races 300
"""

import argparse
import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from fallline.racing.judging.records import Entry, Final, Trial, Verdict
from fallline.racing.judging.verdict import decide

TRIALS, TOP, SEEDS, EXAMPLES = 16, 5, 10, 360
UNTRAINED = 2.3


def simulated_arm(
    name: str, *, curvature: float, noise: float, gap: float, dimensions: int, hardness: NDArray[np.float64],
    rng: np.random.Generator,
) -> Entry:  # fmt: skip
    """Tune on Sobol points of a quadratic valley, then run the best ones on fresh seeds; `noise` is that of one run."""
    points = qmc.Sobol(dimensions, scramble=True, rng=rng).random(TRIALS)
    quality = 0.3 + gap + curvature * ((points - 0.6) ** 2).sum(axis=1)
    validation = quality + noise * rng.standard_normal(TRIALS)
    names = [f"dimension_{i}" for i in range(dimensions)]
    trials = tuple(
        Trial(dict(zip(names, point, strict=True)), float(score), False)
        for point, score in zip(points.tolist(), validation, strict=True)
    )
    finals = tuple(
        _final(int(best), quality[best] + noise * rng.standard_normal(SEEDS), hardness, rng)
        for best in np.argsort(validation)[:TOP]
    )
    return Entry(name, trials, finals, dict.fromkeys(names, (0.0, 1.0)), 12.0, 1e-5)


def _final(trial: int, scores: NDArray[np.float64], hardness: NDArray[np.float64], rng: np.random.Generator) -> Final:
    own = 0.1 * rng.standard_normal((len(scores), len(hardness)))
    examples = scores[:, None] + hardness - hardness.mean() + own - own.mean(axis=1, keepdims=True)
    return Final(trial, scores, np.zeros(len(scores), dtype=bool), examples)


def simulated_verdicts(
    races: int, *, curvature: float, noise: float, gap: float, dimensions: int = 1
) -> Iterator[Verdict]:
    """Verdicts of independent races of arm "a" against arm "b", which is worse by `gap`."""
    for race in range(races):
        rng = np.random.default_rng(race)
        hardness = 0.3 * rng.exponential(size=EXAMPLES)
        a, b = (
            simulated_arm(
                name, curvature=curvature, noise=noise, gap=own, dimensions=dimensions, hardness=hardness, rng=rng
            )
            for name, own in (("a", 0.0), ("b", gap))
        )
        yield decide([a, b], higher_is_better=False, untrained=UNTRAINED, seed=race)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--races", type=int, default=300, help="simulated races for each line of the table")
    races = parser.parse_args().races
    print(f"share of {races} races that name a winner (true gap 0) or the better arm, by the questions asked")
    print("dimensions  curvature  noise  true gap  settings  settings+study  verdict")
    for dimensions, curvature, noise, gap in itertools.product((1, 2), (0.2, 1.0, 4.0), (0.02, 0.1), (0.0, 0.05)):
        verdicts = simulated_verdicts(races, curvature=curvature, noise=noise, gap=gap, dimensions=dimensions)
        ahead = [verdict.comparisons[0] for verdict in verdicts]
        failed = [set(one.failed) for one in ahead if gap == 0 or one.best == "a"]
        settings, both, verdict = (
            sum(not one & asked for one in failed) / races
            for asked in ({"settings"}, {"settings", "study"}, {"settings", "study", "split"})
        )
        print(
            f"{dimensions:10d} {curvature:10.1f} {noise:6.2f} {gap:9.2f} {settings:9.3f} {both:15.3f} {verdict:8.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
